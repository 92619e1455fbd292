// A page as an app would have it: signs up, creates a profile, and shows each of its changes.
//
// `?server=` and `?issuer=` say where they are.

import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { UserService } from "../stubs/mayfly/user/v1/user_pb.js";

const where = new URL(location.href).searchParams;
const users = createClient(UserService, createGrpcWebTransport({ baseUrl: where.get("server") }));
const element = (id) => document.getElementById(id);

async function signUp() {
  const path = "/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any";
  const response = await fetch(where.get("issuer") + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ returnSecureToken: true }),
  });
  return response.json();
}

function show(profile) {
  const item = document.createElement("li");
  item.textContent = `${profile.handle}: ${profile.displayName}`;
  element("seen").append(item);
}

async function run(handle) {
  const { idToken, localId } = await signUp();
  element("who").textContent = localId;
  const headers = { authorization: `Bearer ${idToken}` };

  const key = { "idempotency-key": crypto.randomUUID() };
  const request = { profile: { handle, displayName: handle } };
  await users.createProfile(request, { headers: { ...headers, ...key } });

  for await (const { event } of users.watchProfiles({}, { headers })) {
    if (event.case === "profile") {
      show(event.value);
    }
  }
}

element("sign-up").addEventListener("submit", (event) => {
  event.preventDefault();
  run(element("handle").value).catch((error) => {
    element("error").textContent = String(error);
  });
});
