//! A run as a picture: one HTML file that needs nothing else.

mod film;
mod page;
mod pairs;
mod tracks;

pub use film::{Film, Reel};
pub use page::{About, page};
