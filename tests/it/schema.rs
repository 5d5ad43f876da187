//! What `redlake schema` tells of tables and views.

use crate::support::{fail, redlake, succeed};

fn printed(args: &[&str]) -> String {
    let output = succeed(redlake().arg("schema").args(args)).stdout;
    String::from_utf8(output).expect("UTF-8")
}

#[test]
fn views_are_listed_below_their_tables() {
    let listed = printed(&["list"]);
    let names: Vec<&str> = listed
        .lines()
        .map(|line| &line[..line.trim_start().find(' ').unwrap_or(0) + indent(line)])
        .collect();
    let place = |name: &str| names.iter().position(|listed| *listed == name);
    let notes = place("notes").expect("the table");
    assert_eq!(names[notes + 1], "  notes_latest");
    let engagement = place("engagement").expect("the table");
    assert_eq!(
        names[engagement + 1..engagement + 5],
        [
            "  engagement_latest",
            "  engagement_latest_by_pipeline",
            "  engagement_delta",
            "  engagement_delta_by_endpoint"
        ]
    );
    // Sixteen tables, the views of four of them, eight marts, and eight views of several tables.
    assert_eq!(names.len(), 16 + 10 + 8 + 8);
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[test]
fn a_view_is_explained_as_a_table_is() {
    let latest = printed(&["show", "notes_latest"]);
    assert!(
        latest.starts_with("notes_latest: The newest observation of each note_id in notes"),
        "{latest}"
    );
    assert!(latest.contains("\n  title: string, may be null, personal, free text\n"));
    assert!(latest.contains("\n  endpoints: string\n"));
    assert!(!latest.contains("\n  endpoint: "));
    let delta = printed(&["show", "engagement_delta"]);
    assert!(
        delta.contains("\n  liked_per_hour: float64 [likes/h], may be null\n"),
        "{delta}"
    );

    let (code, told) = fail(redlake().args(["schema", "show", "notes_lates"]));
    assert_eq!(code, 2);
    assert!(
        told.contains("there is no table or view `notes_lates`"),
        "{told}"
    );
    assert!(told.contains("did you mean `notes_latest`?"), "{told}");
}
