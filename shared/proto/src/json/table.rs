//! What the generated tables say of messages and enums.

/// A message.
#[derive(Debug)]
pub(crate) struct Message {
    /// Are its fields, by number; at most 128.
    pub(crate) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// Is its name in the contract.
    pub(crate) name: &'static str,
    /// Is its name in JSON.
    pub(crate) json: &'static str,
    pub(crate) shape: Shape,
    pub(crate) kind: Kind,
    /// Names the oneof that it is a member of, by its place in the message.
    pub(crate) oneof: Option<u8>,
}

/// How often a field's value can be there.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Always; the default is not sent.
    Implicit,
    /// Once or not at all.
    Optional,
    /// Any number of times.
    Repeated,
    /// Once per key; the field's kind is that of the values.
    Map(Kind),
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bool,
    Int32,
    Sint32,
    Sfixed32,
    Uint32,
    Fixed32,
    Int64,
    Sint64,
    Sfixed64,
    Uint64,
    Fixed64,
    Float,
    Double,
    String,
    Bytes,
    Enum(&'static Enum),
    Message(&'static Message),
    Timestamp,
    Duration,
    FieldMask,
}

/// The values of an enum.
#[derive(Debug)]
pub(crate) struct Enum {
    /// Are pairs of number and name; an alias stands after the name it repeats.
    pub(crate) values: &'static [(i32, &'static str)],
}

// === impl Message ===

impl Message {
    /// Finds a field by either of its names.
    pub(crate) fn named(&self, key: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.json == key || field.name == key)
    }

    /// Finds a field by its number.
    pub(crate) fn numbered(&self, number: u32) -> Option<usize> {
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

// === impl Enum ===

impl Enum {
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
    }

    pub(crate) fn name(&self, number: i32) -> Option<&'static str> {
        self.values.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
    }
}

// === impl Kind ===

impl Kind {
    /// Returns whether a repeated field of it is sent as one run of bytes.
    pub(crate) fn is_packed(self) -> bool {
        !matches!(
            self,
            Self::String
                | Self::Bytes
                | Self::Message(_)
                | Self::Timestamp
                | Self::Duration
                | Self::FieldMask
        )
    }
}
