//! A world with a given number of notes a day.

use std::collections::HashSet;

use super::bench::{self, Bench, note_ids};
use super::{KEYWORD, TOKEN, WORLD, noon};
use crate::sandbox::world::phrases::TOPICS;
use crate::sandbox::world::stream::{BEGINNING, DAY, HOUR, Stream, World};
use crate::sandbox::{Options, Sandbox, SandboxClock};

#[test]
fn every_stream_has_that_many_notes_on_every_day() {
    for notes_a_day in [1, 7, 500, 2_000] {
        let world = World {
            notes_a_day: Some(notes_a_day),
            ..WORLD
        };
        for topic in TOPICS.iter().take(2) {
            let stream = Stream::of(topic.name);
            let days = 3;
            let end = BEGINNING + 200 * DAY;
            let notes: Vec<_> = world
                .notes(stream, end - 1)
                .take_while(|note| note.published_at >= end - days * DAY)
                .collect();
            for day in 1..=days {
                let day = end - day * DAY..end - (day - 1) * DAY;
                let of_day = notes.iter().filter(|note| day.contains(&note.published_at));
                assert_eq!(of_day.count() as u64, notes_a_day);
            }
            let ids: HashSet<_> = notes.iter().map(|note| &note.id).collect();
            assert_eq!(ids.len(), notes.len());
            assert!(notes.iter().all(|note| world.note(&note.id, end).is_some()));
        }
    }
}

#[test]
fn late_notes_become_visible_one_to_three_hours_after_their_publication() {
    let stream = Stream::of(TOPICS[0].name);
    let end = BEGINNING + 200 * DAY;
    let world = |late_percent| World {
        notes_a_day: Some(500),
        late_percent,
        ..WORLD
    };
    let ids = |world: World, now| -> Vec<String> {
        let latest = world.notes(stream, now).take(1_000);
        latest.map(|note| note.id).collect()
    };
    // Four hours later all of them are visible, in the same order as without late ones.
    let begun = |id: &String| i64::from_str_radix(&id[..8], 16).unwrap() <= end;
    let mut later = ids(world(20), end + 3 * HOUR);
    later.retain(begun);
    let now = ids(world(20), end);
    let all = ids(world(0), end);
    assert_eq!(later[..], all[..later.len()]);
    assert!(now.iter().all(|id| all.contains(id) || !later.contains(id)));
    let late: Vec<_> = world(20)
        .notes(stream, end)
        .take(1_000)
        .map(|note| note.visible_at() - note.published_at)
        .filter(|delay| *delay != 0)
        .collect();
    assert!((150..250).contains(&late.len()), "{} of 1,000", late.len());
    assert!(late.iter().all(|delay| (HOUR..=3 * HOUR).contains(delay)));
    let hidden = later.iter().find(|id| !now.contains(id)).unwrap();
    assert!(world(20).note(hidden, end).is_none());
    assert!(world(20).note(hidden, end + 3 * HOUR).is_some());
    assert!(world(0).note(hidden, end).is_some());
}

fn options(notes_a_day: u64) -> Options {
    Options {
        notes_a_day: Some(notes_a_day),
        ..Options::new(SandboxClock::frozen(noon()), TOKEN.into())
    }
}

#[tokio::test]
async fn an_hour_brings_its_share_of_new_notes() {
    let bench = Bench::with(options(240)).await;
    let page = async || note_ids(&bench::json(bench.search_page(KEYWORD, 1)).await);
    let before = page().await;
    assert_eq!(page().await, before);
    let url = format!("{}/_sandbox/clock", bench.base);
    let advance = bench.client.post(url).body(r#"{"advance_seconds": 3600}"#);
    advance.send().await.unwrap();
    let after = page().await;
    let new = after.iter().filter(|id| !before.contains(id)).count();
    assert!((9..=11).contains(&new), "{new} new notes");
}

#[tokio::test]
async fn a_rate_that_the_world_cannot_have_is_refused() {
    for rate in [0, 2_001] {
        let contracts = std::sync::Arc::new(super::contracts());
        assert!(Sandbox::start(options(rate), contracts).await.is_err());
    }
    let options = Options {
        late_percent: 101,
        ..options(240)
    };
    let contracts = std::sync::Arc::new(super::contracts());
    assert!(Sandbox::start(options, contracts).await.is_err());
}
