// The contracts: the method behind a path.

import { createRegistry, fromBinary, fromJson, toBinary } from "@bufbuild/protobuf";

import { file_mayfly_auth_v1_auth } from "../stubs/mayfly/auth/v1/auth_pb.js";
import { file_mayfly_later_v1_later } from "../stubs/mayfly/later/v1/later_pb.js";
import { file_mayfly_user_v1_user } from "../stubs/mayfly/user/v1/user_pb.js";

const contracts = createRegistry(
  file_mayfly_auth_v1_auth,
  file_mayfly_later_v1_later,
  file_mayfly_user_v1_user,
);

// The method of "package.Service/Method".
export function method(path) {
  const [service, name] = path.split("/");
  const found = contracts.getService(service)?.methods.find((method) => method.name === name);
  if (!found) {
    throw new Error(`${path} is in no contract`);
  }
  return found;
}

// The message of a call. One that is said to be `of` another type has fields that the method's own
// does not know.
export function request({ method: { input }, message, of }) {
  if (!of) {
    return fromJson(input, message);
  }
  const other = contracts.getMessage(of);
  return fromBinary(input, toBinary(other, fromJson(other, message)));
}
