//! The proxy over real sockets: what passes, what each fault does, what is counted, what the admin API refuses.

mod admin;
mod ends;
mod faults;
mod held;
mod passing;
mod random;
mod rig;
