// Firebase's own administrator, at the issuer as it would be at an emulator.

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
