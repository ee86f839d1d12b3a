//! The process's limit of open files: raised as far as it may be, or named before the run.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::failure::Failure;

/// Files beside the connections: standard streams, the event loop, answers on their way.
const SPARE: u64 = 32;

/// Makes room for so many connections, or says how to.
pub(crate) fn make_room(connections: u64) -> Result<(), Failure> {
    let needed = connections + SPARE;
    let limit = getrlimit(Resource::Nofile);
    let enough = |bound: Option<u64>| bound.is_none_or(|bound| bound >= needed);
    if enough(limit.current) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    if enough(limit.maximum) && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(Failure::Failed(cure(needed, limit.maximum)))
}

fn cure(needed: u64, maximum: Option<u64>) -> String {
    let allowed = maximum.map_or_else(String::new, |most| format!(", of at most {most}"));
    format!(
        "this run needs {needed} file descriptors{allowed}: raise the limit with `ulimit -n {needed}` \
         (as root, `ulimit -Hn {needed}` first), or ask for fewer clients"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_run_needs_nothing() {
        assert_eq!(make_room(1), Ok(()));
    }

    /// More than any machine allows: the error says how many and how.
    #[test]
    fn an_impossible_number_is_named() {
        let said = make_room(1 << 40).unwrap_err();
        let Failure::Failed(line) = said else {
            panic!("{said:?}")
        };
        let needed = ((1_u64 << 40) + SPARE).to_string();
        assert!(
            line.contains(&needed) && line.contains("ulimit -n"),
            "{line}"
        );
    }
}
