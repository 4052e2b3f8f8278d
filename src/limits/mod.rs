//! How much of the gateway one user, and all together, may have: sessions, bytes a second, what is uploaded within a day.
//!
//! A session gets an `Admission` at its login. What several sessions share of a user stands in one account, which
//! outlives them, and a reload of the users, for as long as it tells anything.

mod account;
mod accounts;
mod admission;
mod allowance;
mod bucket;
mod day;
mod exceeded;
mod pace;
mod registry;

pub(crate) use admission::{Admission, Applicant};
pub(crate) use allowance::Allowance;
pub use exceeded::Exceeded;
pub(crate) use exceeded::Refusal;
pub(crate) use pace::Pace;
pub(crate) use registry::Limits;
