//! Whose turn it is.

use std::time::{Duration, Instant};

use chrono::DateTime;

use super::{endpoint, search};
use crate::extract::fetch::Turn;
use crate::extract::pager::{KnownItems, Pager};
use crate::extract::scheduler::Lanes;
use crate::plan::Search;

fn turn(source: &str, id: &str) -> Turn {
    let search = Search {
        search_id: id.to_owned(),
        source: source.to_owned(),
        ..search(&[])
    };
    let endpoint = endpoint("justoneapi", "note_search");
    Turn::first(Pager::new(
        search,
        endpoint,
        DateTime::UNIX_EPOCH,
        KnownItems::default(),
    ))
}

fn lanes(turns: &[(&str, &str)]) -> Lanes {
    let mut lanes = Lanes::default();
    for (source, id) in turns {
        lanes.queue(turn(source, id));
    }
    lanes
}

fn id(turn: Turn) -> String {
    turn.pager.search.search_id
}

/// All turns that may be taken now.
fn taken(lanes: &mut Lanes, concurrency: usize) -> Vec<String> {
    std::iter::from_fn(|| lanes.next(concurrency))
        .map(id)
        .collect()
}

#[test]
fn searches_advance_side_by_side() {
    let mut lanes = lanes(&[("s", "1"), ("s", "2"), ("s", "3")]);
    let mut order = Vec::new();
    for _ in 0..6 {
        let turn = lanes.next(1).expect("a turn");
        assert!(lanes.next(1).is_none(), "one call at a time");
        order.push(turn.pager.search.search_id.clone());
        lanes.ended("s");
        lanes.queue(turn);
    }
    assert_eq!(order, ["1", "2", "3", "1", "2", "3"]);
}

#[test]
fn every_source_has_its_own_places() {
    let mut lanes = lanes(&[("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("b", "5")]);
    assert_eq!(taken(&mut lanes, 2), ["1", "2", "4", "5"]);
    lanes.ended("b");
    assert_eq!(taken(&mut lanes, 2), [""; 0]);
    lanes.ended("a");
    assert_eq!(taken(&mut lanes, 2), ["3"]);
}

#[tokio::test]
async fn a_waiting_search_blocks_no_other_and_runs_first_afterwards() {
    let mut lanes = lanes(&[("s", "1"), ("s", "2")]);
    let (later, sooner) = (turn("s", "later"), turn("s", "sooner"));
    assert!(!lanes.is_resting());
    let begun = Instant::now();
    lanes.rest(later, Duration::from_millis(4));
    lanes.rest(sooner, Duration::from_millis(2));
    assert!(lanes.is_resting());
    assert_eq!(id(lanes.next(9).expect("a turn")), "1");
    lanes.wake().await;
    assert!(begun.elapsed() >= Duration::from_millis(2));
    assert_eq!(taken(&mut lanes, 9), ["sooner", "2"]);
    lanes.wake().await;
    assert!(begun.elapsed() >= Duration::from_millis(4));
    assert_eq!(taken(&mut lanes, 9), ["later"]);
    assert!(!lanes.is_resting());
}

#[tokio::test]
async fn two_that_rest_as_long_are_both_kept() {
    let mut lanes = Lanes::default();
    for id in ["1", "2", "3"] {
        lanes.rest(turn("s", id), Duration::ZERO);
    }
    for _ in 0..3 {
        lanes.wake().await;
    }
    let mut woken = taken(&mut lanes, 9);
    woken.sort();
    assert_eq!(woken, ["1", "2", "3"]);
}

#[tokio::test]
async fn waking_without_waiters_never_returns() {
    let mut lanes = lanes(&[("s", "1")]);
    let wake = tokio::time::timeout(Duration::from_millis(2), lanes.wake());
    assert!(wake.await.is_err());
}

#[test]
fn unfinished_turns_are_returned() {
    let mut lanes = lanes(&[("a", "1"), ("b", "2"), ("a", "3")]);
    lanes.rest(turn("a", "4"), Duration::from_secs(60));
    let _under_way = lanes.next(1);
    let mut left: Vec<String> = lanes.into_turns().map(id).collect();
    left.sort();
    assert_eq!(left, ["2", "3", "4"]);
}
