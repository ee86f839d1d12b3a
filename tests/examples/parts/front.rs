//! A client for the figures.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use net::{
    Host, HostHandle, Reactor, Security, Settings, StopHandle, Worker, Workers, own_features,
};
use roles::client::{self, Client};
use roles::contract::id::{Incarnation, NodeId, OperationId, SongId};
use roles::contract::job::{ClientJob, JobReply};
use roles::contract::node::Identity;
use roles::contract::record::Address;
use roles::contract::rng::Rng;
use roles::contract::user::{Command, Notice};
use storage::client::{ClientStore, ClientWorker};

/// A client in this process, without a cache.
pub(crate) struct Front {
    handle: HostHandle,
    notices: Receiver<Notice>,
    stop: StopHandle,
    count: std::cell::Cell<u64>,
}

impl Front {
    pub(crate) fn start(dns: &str) -> Self {
        let security = Security::keyed([0x5e; 32], "dispotify").expect("a short name");
        let mut reactor = Reactor::new(security, Settings::default(), 1).expect("a loop");
        let config = client::Config {
            dns_nodes: vec![Address(dns.parse().expect("an address"))],
            ..client::Config::default()
        };
        let (sender, notices) = sync_channel(10_000);
        let store = ClientStore::default();
        let worker = || Workers {
            client: Some(Box::new(Local(store.worker()))),
            ..Workers::default()
        };
        let host = Host {
            node: Box::new(Client::new(config, Rng::from_seed(1))),
            identity: Identity {
                node: NodeId(0xf1),
                incarnation: Incarnation(1),
                address: None,
                features: own_features(),
            },
            listener: None,
            bind_from: None,
            readers: vec![worker()],
            writer: Some(worker()),
            tell: Box::new(move |notice| drop(sender.send(notice))),
        };
        let handle = reactor.add(host).expect("a host");
        let stop = reactor.stop_handle();
        thread::spawn(move || reactor.run());
        Front {
            handle,
            notices,
            stop,
            count: std::cell::Cell::new(0),
        }
    }

    pub(crate) fn next(&self) -> OperationId {
        self.count.set(self.count.get() + 1);
        OperationId(self.count.get())
    }

    pub(crate) fn give(&self, command: Command) {
        self.handle.command(command).expect("the client runs");
    }

    /// The next notice that is no line of the log.
    pub(crate) fn any(&self) -> Notice {
        loop {
            let notice = self.notices.recv().expect("the client runs");
            if !matches!(notice, Notice::Fact { .. }) {
                return notice;
            }
        }
    }

    pub(crate) fn until(&self, good: impl Fn(&Notice) -> bool) -> Notice {
        loop {
            let notice = self.notices.recv().expect("the client runs");
            assert!(!matches!(notice, Notice::Failed { .. }), "{notice:?}");
            if good(&notice) {
                return notice;
            }
        }
    }

    pub(crate) fn ask(&self, command: Command) -> Notice {
        self.give(command);
        self.until(|notice| !matches!(notice, Notice::Fact { .. }))
    }

    pub(crate) fn open(&self, song: SongId) -> OperationId {
        let operation = self.next();
        let song = song.into();
        self.give(Command::Open {
            operation,
            song,
            holders: false,
        });
        self.until(|notice| matches!(notice, Notice::Opened { .. }));
        operation
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

struct Local(ClientWorker);

impl Worker<ClientJob> for Local {
    fn run(&mut self, job: ClientJob) -> JobReply {
        self.0.run(job)
    }
}
