//! Reaching the parked queue.

use super::super::problem::Problem;
use super::super::terminal::say;
use crate::amqp::{Held, Link, Names, Pass, Role, ToolError, close, connect};
use crate::settings::Settings;
use antispoof_core::job::Admission;

pub(super) struct Source {
    pub(super) settings: Settings,
    pub(super) names: Names,
    pub(super) admission: Admission,
}

impl Source {
    pub(super) fn new(settings: Settings) -> Self {
        let names = Names::new(&settings.amqp.prefix, &[]);
        let admission = Admission { default_bucket: settings.s3.default_bucket.clone(), buckets: None };
        Self { settings, names, admission }
    }

    pub(super) async fn connect(&self) -> Result<Link, Problem> {
        Ok(connect(&self.settings.amqp, &self.settings.worker.instance, Role::Tool).await?)
    }

    pub(super) async fn begin(&self, link: &Link) -> Result<Pass, Problem> {
        Pass::begin(link, &self.names, self.admission.clone()).await.map_err(problem)
    }

    /// Gives each parked message to `see`, in the order of the queue, and puts all of them back. Returns how many there were.
    pub(super) async fn look(&self, mut see: impl FnMut(Held) -> Result<(), Problem>) -> Result<u32, Problem> {
        let link = self.connect().await?;
        let looked = self.look_at(&link, &mut see).await;
        close(&link).await;
        looked
    }

    async fn look_at(&self, link: &Link, see: &mut impl FnMut(Held) -> Result<(), Problem>) -> Result<u32, Problem> {
        let mut pass = self.begin(link).await?;
        if pass.other_consumers() > 0 {
            say(&format!(
                "note: {} other {} {}: what it has taken is not seen here (another `parked` command?)",
                pass.other_consumers(),
                if pass.other_consumers() == 1 { "consumer reads" } else { "consumers read" },
                self.names.parked
            ));
        }
        let mut seen = 0;
        while let Some(held) = pass.next().await.map_err(problem)? {
            seen += 1;
            see(held)?;
        }
        pass.end().await.map_err(problem)?;
        Ok(seen)
    }
}

/// A pass that broke off.
pub(super) fn problem(error: ToolError) -> Problem {
    let hint = match error {
        ToolError::Refused { .. } => None,
        ToolError::Lost(_) => Some(
            "run it again; if it ends at the same message, the broker cannot deliver that one (docs/alerts-jobs.md, AntispoofdUndeliverable)",
        ),
        ToolError::NoLeader(_) => {
            Some("`rabbitmq-queues quorum_status QUEUE` names its members: it needs more than half of them")
        }
    };
    Problem::from(error).maybe_hint(hint)
}
