//! The contracts as gRPC's tools read them: encoded descriptors, and an index made by the build.
//!
//! It is constant data: nothing is decoded, and nothing of it is in memory until somebody asks.

mod tables {
    include!(concat!(env!("OUT_DIR"), "/descriptors/descriptors.rs"));
}

use self::tables::generated;

/// Is every .proto file, imports included, as an encoded `google.protobuf.FileDescriptorSet` with
/// all options and without comments.
pub static SET: &[u8] = generated::SET;

/// One .proto file.
#[derive(Debug)]
pub struct File {
    /// Is its name, such as `mayfly/user/v1/user.proto`.
    pub name: &'static str,
    /// Is its encoded `google.protobuf.FileDescriptorProto`.
    pub bytes: &'static [u8],
    /// Are the names of the files that it imports.
    pub imports: &'static [&'static str],
}

/// Returns the file of a name, such as `mayfly/user/v1/user.proto`.
pub fn file(name: &str) -> Option<&'static File> {
    generated::FILES.iter().find(|file| file.name == name)
}

/// Returns the file that defines a full name: of a service, an RPC, a message, a field or the like.
pub fn defining(symbol: &str) -> Option<&'static File> {
    let symbols = generated::SYMBOLS;
    let index = symbols.binary_search_by_key(&symbol, |(name, _file)| *name).ok()?;
    Some(at(symbols[index].1))
}

/// Returns the file that defines an extension of a message.
pub fn extending(message: &str, number: u32) -> Option<&'static File> {
    let extensions = generated::EXTENSIONS;
    let key = |&(message, number, _file): &(&'static str, u32, u16)| (message, number);
    let index = extensions.binary_search_by_key(&(message, number), key).ok()?;
    Some(at(extensions[index].2))
}

/// Returns the extensions of a message, each with the file that defines it.
pub fn extensions(message: &str) -> impl Iterator<Item = (u32, &'static File)> {
    let of_it = generated::EXTENSIONS.iter().filter(move |(name, ..)| *name == message);
    of_it.map(|&(_message, number, file)| (number, at(file)))
}

fn at(place: u16) -> &'static File {
    &generated::FILES[usize::from(place)]
}

/// Returns a part of the set; the build says which.
const fn part(set: &'static [u8], start: usize, end: usize) -> &'static [u8] {
    set.split_at(end).0.split_at(start).1
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorProto;

    use super::*;
    use crate::METHODS;

    #[test]
    fn every_rpc_is_defined_somewhere_and_what_is_imported_is_there() {
        for method in METHODS {
            let file = defining(method.service).unwrap();
            let rpc = format!("{}.{}", method.service, method.name);

            assert_eq!(defining(&rpc).unwrap().name, file.name);
            let mut imports = file.imports.to_owned();
            while let Some(import) = imports.pop() {
                imports.extend(self::file(import).unwrap().imports);
            }
        }
    }

    #[test]
    fn the_bytes_of_a_file_are_those_of_its_descriptor() {
        for file in generated::FILES {
            let decoded = FileDescriptorProto::decode(file.bytes).unwrap();

            assert_eq!(decoded.name(), file.name);
            assert_eq!(decoded.dependency, file.imports);
            assert_eq!(decoded.source_code_info, None);
        }
        let decoded = prost_types::FileDescriptorSet::decode(SET).unwrap();
        assert_eq!(decoded.file.len(), generated::FILES.len());
    }

    #[test]
    fn every_kind_of_name_is_found() {
        let user = "mayfly/user/v1/user.proto";
        for symbol in [
            "mayfly.user.v1.UserService",
            "mayfly.user.v1.UserService.GetProfile",
            "mayfly.user.v1.Profile",
            "mayfly.user.v1.Profile.handle",
            "mayfly.user.v1.Visibility",
            "mayfly.user.v1.VISIBILITY_PUBLIC",
        ] {
            assert_eq!(defining(symbol).map(|file| file.name), Some(user), "{symbol}");
        }
        for unknown in ["", ".", "mayfly", "mayfly.user.v1", ".mayfly.user.v1.Profile", "Profile"] {
            assert!(defining(unknown).is_none(), "{unknown:?}");
        }
    }

    #[test]
    fn an_extension_is_found_by_its_message_and_its_number() {
        let policy = "mayfly/policy/v1/policy.proto";
        let options = "google.protobuf.MethodOptions";

        assert_eq!(extending(options, 51001).unwrap().name, policy);
        assert!(extending(options, 1).is_none());
        let all: Vec<_> = extensions(options).map(|(number, file)| (number, file.name)).collect();
        assert_eq!(all, [(51001, policy)]);
    }

    #[test]
    fn options_are_kept() {
        let contains = |file: &str, text: &str| {
            let bytes = self::file(file).unwrap().bytes;
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        // Key and value of `string.max_len: 500`, within the options of `bio`.
        assert!(contains("mayfly/user/v1/user.proto", "bio"));
        let bytes = file("mayfly/user/v1/user.proto").unwrap().bytes;
        let rule = [0xca, 0xf3, 0x18];
        assert!(bytes.windows(3).any(|window| window == rule), "the key of mayfly.policy.v1.rule");
    }
}
