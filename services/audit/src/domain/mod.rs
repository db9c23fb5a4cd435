//! The decisions of the audit trail: pure and synchronous. Times and ids are passed in.

pub(crate) mod index;
pub(crate) mod known;
pub(crate) mod offer;
pub(crate) mod own;
pub(crate) mod page;
