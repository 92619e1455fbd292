// Firebase's own administrator: at the issuer as it would be at an emulator, and as in production.

import https from "node:https";
import net from "node:net";
import process from "node:process";

import { initializeApp } from "firebase-admin/app";
import { getAuth } from "firebase-admin/auth";

const administrators = new Map();

// Calls a method of the Admin SDK's `Auth`; what it answers, or the code of what it refuses with.
export async function administer({ issuer, project, method, args }) {
  // It reads this with every call.
  process.env.FIREBASE_AUTH_EMULATOR_HOST = issuer;
  if (!administrators.has(issuer)) {
    administrators.set(issuer, getAuth(initializeApp({ projectId: project }, issuer)));
  }
  try {
    return { answer: (await administrators.get(issuer)[method](...args)) ?? null };
  } catch (error) {
    return { code: error.code ?? String(error) };
  }
}

// Leads every call to one address, whomever it is for, and in the clear.
class Detour extends https.Agent {
  constructor(address) {
    super();
    const { hostname, port } = new URL(`http://${address}`);
    this.createConnection = () => net.connect(Number(port), hostname);
  }
}

// Verifies a token as in production: nothing is changed but where the network leads, so that
// Google's certificates are the issuer's. What the token says, or the code of why it is refused.
export async function verify({ issuer, project, token }) {
  delete process.env.FIREBASE_AUTH_EMULATOR_HOST;
  const app = initializeApp({ projectId: project, httpAgent: new Detour(issuer) }, token);
  try {
    return { answer: await getAuth(app).verifyIdToken(token) };
  } catch (error) {
    return { code: error.code ?? String(error) };
  }
}
