//! Many jobs while workers die and connections break. `cargo run --example soak` (`make soak`) is the same at length.

pub(crate) mod run;

use crate::harness::world::World;

use self::run::{Plan, soak};

#[tokio::test]
async fn workers_that_are_killed_lose_nothing() {
    let world = World::new("soak").await;
    let figures = soak(&world, &Plan { jobs: 500, kills: 3, cuts: 1, seed: 7 }).await;
    assert!(figures.broken().is_empty(), "{:?}\n{figures}", figures.broken());
}
