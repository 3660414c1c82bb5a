//! What a run comes to, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::oracle::{Sums, Violation};
use super::plan::{Kind, Plan};
use super::strike::Struck;

/// More of a kind are counted and not shown.
const SHOWN: usize = 20;

/// A run that is over.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) figures: Figures,
    pub(crate) violations: Vec<Violation>,
    /// Events that are none.
    pub(crate) strange: Vec<String>,
    /// Where it stopped, if it did.
    pub(crate) stalled: Option<String>,
    /// Where its logs are, if they were kept.
    pub(crate) kept: Option<PathBuf>,
}

/// The numbers.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) plan: Plan,
    pub(crate) struck: Vec<Struck>,
    pub(crate) sums: Sums,
    /// Messages in the parked queue.
    pub(crate) parked: usize,
    pub(crate) took: Duration,
}

// === impl Report ===

impl Report {
    /// True when nothing was violated.
    pub(crate) fn good(&self) -> bool {
        self.violations.is_empty() && self.strange.is_empty() && self.stalled.is_none()
    }

    /// What went wrong, where the logs are, and how to see it again.
    pub(crate) fn complaint(&self) -> String {
        let mut lines: Vec<String> = self.stalled.iter().map(|stalled| format!("stalled: {stalled}")).collect();
        lines.extend(self.violations.iter().take(SHOWN).map(ToString::to_string));
        lines.extend(self.strange.iter().take(SHOWN).map(|event| format!("strange event: {event}")));
        for (name, count) in self.counted() {
            lines.push(format!("{count} × {name}"));
        }
        if let Some(kept) = &self.kept {
            lines.push(format!("logs: {}", kept.display()));
        }
        lines.push(format!("again: {}", self.figures.plan.replay()));
        lines.join("\n")
    }

    /// All of it as JSON.
    pub(crate) fn json(&self) -> Value {
        let Figures { plan, struck, sums, parked, took } = &self.figures;
        let violations: Vec<_> = self.violations.iter().map(ToString::to_string).collect();
        let strikes: Vec<_> = struck
            .iter()
            .map(|Struck { strike, in_hand, met, took }| {
                let kind = strike.kind.to_string();
                let (replica, took) = (strike.replica, took.as_secs_f64());
                json!({ "at": strike.at, "kind": kind, "replica": replica, "in_hand": in_hand, "met": met, "seconds": took })
            })
            .collect();
        json!({
            "good": self.good(), "seed": plan.seed, "jobs": plan.jobs, "replicas": plan.replicas,
            "ledger": plan.ledger.to_string(), "faults": strikes, "ended": sums.ended,
            "events": sums.ended + sums.duplicates, "duplicates": sums.duplicates, "calls": sums.calls, "billed": sums.billed,
            "extra": sums.extra, "in_doubt": sums.in_doubt, "garbled": sums.garbled, "paid_without_record": sums.unrecorded,
            "contradictions": self.count("contradiction"), "lost": self.count("lost"), "parked": parked,
            "seconds": took.as_secs_f64(), "violations": violations, "strange": self.strange, "stalled": self.stalled,
            "replay": plan.replay(), "kept": self.kept,
        })
    }

    fn count(&self, name: &str) -> usize {
        self.counted().get(name).copied().unwrap_or(0)
    }

    fn counted(&self) -> BTreeMap<&'static str, usize> {
        let mut counted = BTreeMap::new();
        for violation in &self.violations {
            *counted.entry(violation.name()).or_default() += 1;
        }
        counted
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { plan, struck, sums, parked, took } = &self.figures;
        writeln!(f, "jobs            {}, {} ended", plan.jobs, sums.ended)?;
        writeln!(f, "replicas        {}, ledger {}", plan.replicas, plan.ledger)?;
        let mut kinds: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
        for Struck { strike, met, .. } in struck {
            let (times, missed) = kinds.entry(strike.kind).or_default();
            *times += 1;
            *missed += usize::from(!met);
        }
        writeln!(f, "faults          {} of {}", struck.len(), plan.faults)?;
        for (kind, (times, missed)) in kinds {
            let missed = if missed > 0 { format!(", {missed} met nobody") } else { String::new() };
            writeln!(f, "  {:<21} {times}{missed}", kind.to_string())?;
        }
        let ended = struck.iter().filter_map(|struck| struck.in_hand);
        let ended: Vec<_> = ended.map(|jobs| jobs.to_string()).collect();
        writeln!(f, "in hand         {} at kills and drains", ended.join(" "))?;
        writeln!(f, "events          {}, {} of them duplicates", sums.ended + sums.duplicates, sums.duplicates)?;
        writeln!(f, "calls           {}, {} billed, {} beyond one a job", sums.calls, sums.billed, sums.extra)?;
        writeln!(f, "in doubt        {}, and {} answered without a verdict", sums.in_doubt, sums.garbled)?;
        writeln!(f, "unrecorded      {} paid for twice without a record", sums.unrecorded)?;
        writeln!(f, "contradictions  {}", self.count("contradiction"))?;
        writeln!(f, "lost            {}", self.count("lost"))?;
        writeln!(f, "parked          {parked}")?;
        writeln!(f, "violations      {}", self.violations.len())?;
        writeln!(f, "seed            {}", plan.seed)?;
        write!(f, "seconds         {:.1}", took.as_secs_f64())
    }
}
