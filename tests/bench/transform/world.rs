//! The sandbox's words: what its notes say, and its seeded chance.

#[path = "../../../src/sandbox/world/dice.rs"]
pub mod dice;
#[path = "../../../src/sandbox/world/phrases.rs"]
pub mod phrases;
#[path = "../../../src/sandbox/world/text.rs"]
pub mod text;
