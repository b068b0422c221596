//! What a stop page hands over when somebody asks for a review, and whoever answers it reads: one file for each
//! request, encrypted to them, so that no name lies readable on a hotspot.

use serde::{Deserialize, Serialize};

/// The version of [`Review`].
pub const VERSION: u32 = 1;

/// What the names of such files end with.
pub const EXTENSION: &str = "review";

/// A request for review. Nothing about who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// [`VERSION`].
    pub version: u32,
    /// The word of the scheme.
    pub scheme: String,
    /// The number that the person was given.
    pub code: String,
    /// The site that should not be blocked, as an A-label name.
    pub site: String,
    /// The day of the request, as Unix seconds at its beginning: the second would tell who stood there.
    pub day: u64,
}
