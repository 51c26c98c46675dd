//! How C1 writes things down: protobuf's JSON, its errors, its pages, its timestamps.

pub mod answer;
pub mod duration;
pub mod message;
pub mod paging;
pub mod timestamp;
pub mod update_mask;

pub use answer::Answer;
