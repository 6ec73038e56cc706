//! A Kubernetes cluster without containers: etcd, API server, controller manager, scheduler, and a node of KWOK's.

mod apiserver;
mod audit;
mod cluster;
mod controllers;
mod etcd;
mod kubeconfig;
mod kwok;

pub use apiserver::ApiServer;
pub use audit::AuditEntry;
pub use cluster::{Cluster, ClusterOptions, User};
pub use controllers::{ControllerManager, Scheduler};
pub use etcd::Etcd;
pub use kwok::{Kwok, NODE, Outcome};

use std::time::Duration;

/// How long a server may take until it is ready: seconds on an idle machine, more where a build has all cores.
pub(crate) const READY: Duration = Duration::from_secs(90);
