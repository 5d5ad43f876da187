//! The prompt of `redlake query` on a terminal.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};

use crate::support::{Lake, succeed};
use crate::terminal::{Drawn, Terminal, Turn};
use crate::upkeep::{lake_with_runs, run};

/// Talks with the prompt on a wide terminal, in a home of the test's own.
fn talk(lake: &Lake, args: &[&str], turns: &[(&str, Turn<'_>)]) -> Drawn {
    let home = lake.path().with_file_name("home");
    let mut command = lake.redlake(&[&["query"], args].concat());
    command
        .env("HOME", home)
        .env("TERM", "xterm")
        .env_remove("XDG_STATE_HOME");
    let terminal = Terminal {
        columns: 100,
        rows: 400,
    };
    let drawn = terminal.talk(&mut command, turns);
    assert_eq!(drawn.status.code(), Some(0));
    drawn
}

const PROMPT: &str = "redlake> ";

#[test]
fn sql_is_typed_over_several_lines_and_errors_do_not_end_it() {
    let (lake, _) = lake_with_runs(&[(8, 1)]);
    let at = "select timestamptz '2026-03-08 00:00:00Z' as at;\r";
    let turns = [
        ("End SQL with `;`", Turn::Type("")),
        (PROMPT, Turn::Type("select 1 as one,\r2 as two;\r")),
        ("1 row, 2 columns", Turn::Type("")),
        (PROMPT, Turn::Type("select nonsense;\r")),
        ("error: Binder Error", Turn::Type("")),
        (PROMPT, Turn::Type("select 'dropped")),
        ("dropped", Turn::Type("\x03")),
        (PROMPT, Turn::Type(".timezone Asia/Tokyo\r")),
        ("times are in Asia/Tokyo", Turn::Type(at)),
        ("2026-03-08 09:00:00+09:00", Turn::Type("")),
        (PROMPT, Turn::Type(".timezone Mars\r")),
        ("error: `Mars` is not an IANA time zone", Turn::Type("")),
        (PROMPT, Turn::Type(".expanded on\rselect $word as word;\r")),
        ("─ row 1 ─", Turn::Type(".tables\r")),
        ("note_overview ", Turn::Type("")),
        (PROMPT, Turn::Type(".schema note_overv\t\r")),
        ("\n  engagement: ", Turn::Type("")),
        (PROMPT, Turn::Type(".nothing\r")),
        ("unknown command: .nothing", Turn::Type(".help\r")),
        (".quit ", Turn::Type("")),
        (PROMPT, Turn::Type(";\r\x04")),
    ];
    let drawn = talk(&lake, &["-p", "word=防晒"], &turns);
    assert!(drawn.has("word │ 防晒"));

    let history = lake
        .path()
        .with_file_name("home/.local/state/redlake/history");
    let kept = fs::read_to_string(&history).expect("a history");
    assert!(kept.contains("select 1 as one,\\n2 as two;\n"), "{kept}");
    assert!(!kept.contains("dropped"), "{kept}");
    // The history goes on: the key "up" finds the last text of the session before.
    let turns = [
        (PROMPT, Turn::Type("\x1b[A\x1b[A\r")),
        ("Ctrl-D does", Turn::Type(".quit\r")),
    ];
    talk(&lake, &[], &turns);
}

#[test]
fn a_statement_sees_new_commits_and_lets_go_of_the_lake() {
    let (lake, _) = lake_with_runs(&[(8, 1)]);
    let count = "select 'runs: ' || count(*) as n from runs;\r";
    let commit = |_: &Child| {
        let lock = File::open(lake.path().join("_state/readers.lock"));
        let lock = lock.expect("a lock of readers");
        lock.try_lock().expect("no reader");
        lock.unlock().expect("no reader");
        run(&lake, 8, 2);
    };
    let turns = [
        (PROMPT, Turn::Type(count)),
        ("runs: 1", Turn::Type("")),
        (PROMPT, Turn::Do(&commit)),
        ("", Turn::Type(count)),
        ("runs: 2", Turn::Type("")),
        (PROMPT, Turn::Type("\x04")),
    ];
    talk(&lake, &[], &turns);
}

#[test]
fn ctrl_c_cancels_the_statement_and_not_the_prompt() {
    let (lake, _) = lake_with_runs(&[(8, 1)]);
    let endless = "select sum(hash(a.range, b.range)) as endless \
                   from range(10000000) a, range(10000000) b;\r";
    let interrupt = |child: &Child| {
        succeed(Command::new("kill").args(["-INT", &child.id().to_string()]));
    };
    let turns = [
        (PROMPT, Turn::Type(endless)),
        // The editor is done.
        ("\x1b[?2004l", Turn::Do(&interrupt)),
        ("error: the statement was cancelled", Turn::Type("")),
        (
            PROMPT,
            Turn::Type("select range from range(100000000000);\r"),
        ),
        // Rows arrive.
        ("\n1000", Turn::Do(&interrupt)),
        ("error: the statement was cancelled", Turn::Type("")),
        (PROMPT, Turn::Type("select 6 * 7 as answer;\r")),
        ("42", Turn::Type("")),
        (PROMPT, Turn::Type("\x04")),
    ];
    talk(&lake, &["--format", "csv"], &turns);
}

/// A command on a terminal that is lower than its result.
fn on_low_terminal(lake: &Lake, variables: &[(&str, &str)], args: &[&str]) -> Drawn {
    let rows = "select range from range(30)";
    let mut command = lake.redlake(&[&["query", rows], args].concat());
    command.env_remove("PAGER").env_remove("REDLAKE_PAGER");
    command.envs(variables.iter().copied());
    let terminal = Terminal {
        columns: 80,
        rows: 24,
    };
    let drawn = terminal.talk(&mut command, &[]);
    assert_eq!(drawn.status.code(), Some(0), "{variables:?}");
    drawn
}

#[test]
fn a_long_table_goes_through_the_pager() {
    let (lake, _) = lake_with_runs(&[(8, 1)]);
    let paged = ("REDLAKE_PAGER", "sed 's/^/paged: /'");
    let is_paged = |variables: &[_], args: &[&str]| {
        let drawn = on_low_terminal(&lake, variables, args);
        assert!(drawn.has("30 rows, 1 column") || args.contains(&"--expanded"));
        drawn.has("paged: ")
    };
    assert!(is_paged(&[paged], &[]));
    assert!(is_paged(&[paged], &["--expanded"]));
    assert!(is_paged(&[paged, ("PAGER", "false")], &[]));
    assert!(is_paged(&[("PAGER", paged.1)], &[]));
    assert!(!is_paged(&[paged], &["--no-pager"]));
    assert!(!is_paged(&[("REDLAKE_PAGER", ""), ("PAGER", paged.1)], &[]));
    assert!(!is_paged(&[("PAGER", "")], &[]));
    // Without the pager the table is printed.
    assert!(!is_paged(&[("REDLAKE_PAGER", "no-such-pager -x")], &[]));
    let drawn = on_low_terminal(&lake, &[("REDLAKE_PAGER", "head -n 3")], &[]);
    assert!(drawn.has("range") && !drawn.has("30 rows"));
    // The lake is not locked while the pager is open.
    let lock = lake.path().join("_state/readers.lock");
    let free = format!("flock -n -x '{}' echo free; cat", lock.display());
    let drawn = on_low_terminal(&lake, &[("REDLAKE_PAGER", &free)], &[]);
    assert!(drawn.has("free\r\n") || !Path::new("/usr/bin/flock").exists());
    // Input from elsewhere, and a short table.
    let terminal = Terminal {
        columns: 80,
        rows: 40,
    };
    let mut command = lake.redlake(&["query", "select range from range(30)"]);
    command.env(paged.0, paged.1);
    assert!(!terminal.talk(&mut command, &[]).has("paged: "));
    let low = Terminal::with_columns(80);
    assert!(!low.run(&mut command).has("paged: "));
}
