//! What a server orders to remember over a restart.

#[derive(Debug)]
pub(crate) enum Purpose {
    Recall,
    Remember,
}
