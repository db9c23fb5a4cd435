//! The API as Rust: messages, clients and servers generated from `proto/`, and the descriptors for reflection.

mod halts;

pub use halts::{level_from_wire, level_to_wire, scope_from_wire, scope_to_wire};

/// Every message and service, encoded as a `FileDescriptorSet`; what reflection serves.
pub const FILE_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! area {
    ($area:ident) => {
        #[doc = concat!("Package `thunes.", stringify!($area), ".v1`.")]
        pub mod $area {
            #[allow(
                clippy::all,
                clippy::pedantic,
                clippy::unwrap_used,
                clippy::disallowed_methods
            )]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/thunes.", stringify!($area), ".v1.rs"));
                include!(concat!(
                    env!("OUT_DIR"),
                    "/thunes.",
                    stringify!($area),
                    ".v1.serde.rs"
                ));
            }
        }
    };
}

area!(types);
area!(risk);
area!(position);
area!(audit);
area!(gateway);
area!(drill);
area!(guard);
