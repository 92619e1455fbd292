// A page as an app would have it with Firebase's own SDK: signs up, in and out, refreshes, and opens
// a function with the token.
//
// `?server=`, `?issuer=` and `?project=` say where they are; `?code=` is what an email would bring.

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { initializeApp } from "firebase/app";
import {
  EmailAuthProvider,
  confirmPasswordReset,
  connectAuthEmulator,
  createUserWithEmailAndPassword,
  getAuth,
  linkWithCredential,
  onIdTokenChanged,
  signInAnonymously,
  signInWithEmailAndPassword,
  signOut,
} from "firebase/auth";

import { UserService } from "../stubs/mayfly/user/v1/user_pb.js";

const where = new URL(location.href).searchParams;
const element = (id) => document.getElementById(id);
const field = (id) => element(id).value;

const auth = getAuth(initializeApp({ apiKey: "any", projectId: where.get("project") }));
connectAuthEmulator(auth, where.get("issuer"), { disableWarnings: true });

// The SDK is asked for the token of every call, and refreshes it when it is old.
const signedIn = (next) => async (request) => {
  const token = await auth.currentUser?.getIdToken();
  if (token) {
    request.header.set("authorization", `Bearer ${token}`);
  }
  return next(request);
};
const transport = createGrpcWebTransport({
  baseUrl: where.get("server"),
  interceptors: [signedIn],
});
const users = createClient(UserService, transport);

async function openProfile() {
  try {
    return await users.getProfile({});
  } catch (error) {
    if (ConnectError.from(error).code !== Code.NotFound) {
      throw error;
    }
    const headers = { "idempotency-key": crypto.randomUUID() };
    const [handle] = field("email").split("@");
    return users.createProfile({ profile: { handle, displayName: handle } }, { headers });
  }
}

const deeds = {
  "sign-up": () => createUserWithEmailAndPassword(auth, field("email"), field("password")),
  "sign-in": () => signInWithEmailAndPassword(auth, field("email"), field("password")),
  "visit": () => signInAnonymously(auth),
  "stay": () => {
    const credential = EmailAuthProvider.credential(field("email"), field("password"));
    return linkWithCredential(auth.currentUser, credential);
  },
  "refresh": () => auth.currentUser.getIdToken(true),
  "reset": () => confirmPasswordReset(auth, where.get("code"), field("password")),
  "open": async () => {
    element("profile").textContent = "";
    const { userId, handle } = await openProfile();
    element("profile").textContent = `${handle} of ${userId}`;
  },
  "sign-out": () => signOut(auth),
};

// What was done, or the code of what it failed of, with a number: the same may come twice.
let number = 0;
async function run(name) {
  let outcome = "well";
  try {
    await deeds[name]();
  } catch (error) {
    outcome = error.code ?? String(error);
  }
  number += 1;
  element("done").textContent = `${number}. ${name}: ${outcome}`;
}

for (const name of Object.keys(deeds)) {
  element(name).addEventListener("click", () => run(name));
}

onIdTokenChanged(auth, async (user) => {
  const token = await user?.getIdTokenResult();
  element("who").textContent = user?.uid ?? "nobody";
  element("roles").textContent = (token?.claims.roles ?? []).join(", ");
});
