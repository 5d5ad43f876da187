//! What a client sees of each kind of fault.

mod answers;
mod bodies;
mod connections;
mod pages;
