//! Cutenames: `adjective-noun-NNNNN`, the ids of personal clients.

use crate::random;

const ADJECTIVES: [&str; 32] = [
    "agile", "amber", "blue", "bold", "brave", "bright", "calm", "clever", "coral", "crisp", "curious", "eager",
    "fancy", "fleet", "gentle", "golden", "happy", "jolly", "keen", "lively", "lucky", "mellow", "noble", "proud",
    "quick", "quiet", "silver", "strange", "sunny", "swift", "tidy", "witty",
];

const NOUNS: [&str; 32] = [
    "badger", "beaver", "bison", "condor", "crane", "dolphin", "falcon", "ferret", "gecko", "heron", "hydra", "ibis",
    "jackal", "koala", "lemur", "lynx", "marmot", "newt", "otter", "panda", "parrot", "puffin", "quail", "raven",
    "salmon", "stoat", "tapir", "toucan", "turtle", "walrus", "whale", "wombat",
];

/// A name that is probably new.
pub fn cutename() -> String {
    let adjective = ADJECTIVES[random::below(32) as usize];
    let noun = NOUNS[random::below(32) as usize];
    format!("{adjective}-{noun}-{}", 10_000 + random::below(90_000))
}
