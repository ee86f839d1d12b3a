//! The model and the real library, side by side.

use std::fmt;

use roles::contract::job::{FragmentId, JobReply, LibraryJob};

use super::ModelStore;
use crate::library::LibraryWorker;

/// Does a job on the model and on a real library that started in the same state. Returns the
/// common answer, or the two answers that differ. The model must not
/// [`crash`](ModelStore::crash), because the library loses nothing while its process lives.
pub fn agreed(
    model: &mut ModelStore,
    library: &mut LibraryWorker,
    job: LibraryJob,
) -> Result<JobReply, Disagreement> {
    let expected = model.run(job.clone());
    let given = library.run(job.clone());
    if expected == without_times(given.clone()) {
        return Ok(given);
    }
    Err(Disagreement {
        job: Box::new(job),
        expected: Box::new(expected),
        given: Box::new(given),
    })
}

/// An answer without the times at which songs were added: the model has no clock.
fn without_times(mut reply: JobReply) -> JobReply {
    if let JobReply::Tags { added, .. } = &mut reply {
        added.clear();
    }
    reply
}

/// A job that the model and the real library answer differently: one of them is wrong.
#[derive(Debug)]
pub struct Disagreement {
    /// The job.
    pub job: Box<LibraryJob>,
    /// The model's answer.
    pub expected: Box<JobReply>,
    /// The library's answer.
    pub given: Box<JobReply>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the library answers {:?} where the model answers {:?}, to {:?}",
            self.given, self.expected, self.job
        )
    }
}

impl std::error::Error for Disagreement {}

/// Alters a fragment in the model and in the library, as a faulty disk would. Returns false if
/// there was no fragment to alter.
pub fn spoiled(model: &mut ModelStore, library: &mut LibraryWorker, fragment: FragmentId) -> bool {
    let altered = model.rot(fragment);
    let alike = !altered || library.rot(fragment);
    debug_assert!(alike, "the model has a fragment that the library lacks");
    altered
}
