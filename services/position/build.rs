//! A new migration makes the crate build again; the macro that embeds the folder only sees the files that it knew.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
