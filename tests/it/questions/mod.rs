//! The twenty questions of `schemas/README.md`: the lake that its commands make gives the answers that
//! it shows, and they are what the answers of the APIs say.

mod answers;
mod facts;
mod figures;
mod more_figures;

use answers::Answers;
use facts::Facts;
use figures::{FIRST_TWELVE, OWN_ACCOUNT};
use more_figures::{LAST_EIGHT, NOTE};

use crate::readme::{section, shown};
use crate::support::{Lake, repository, shell, succeed};

/// The lake that the commands of the section make, in a folder that has the pipeline only.
fn lake_of_the_section(section: &str) -> Lake {
    let lake = Lake::new();
    let folder = lake.path().parent().expect("a folder").to_owned();
    std::fs::create_dir(folder.join("pipelines")).expect("a writable folder");
    let pipeline = "pipelines/brand_week.yaml";
    std::fs::copy(repository(pipeline), folder.join(pipeline)).expect("a copy");
    let commands = section.split("```sh\n").nth(1).expect("the commands");
    let commands = commands.split("```").next().expect("their end");
    let mut shell = shell();
    let script = format!("{commands}\nmv \"$REDLAKE_LAKE\" lake");
    shell.args(["-ec", &script]).current_dir(folder);
    succeed(&mut shell);
    lake
}

#[test]
fn the_twenty_questions_have_the_answers_that_the_document_shows() {
    let section = section("schemas/README.md", "Twenty questions");
    let shown = shown(&section);
    assert_eq!(shown.len(), 20);
    let lake = lake_of_the_section(&section);
    let mut wrong = Vec::new();
    for (number, (sql, expected)) in (1..).zip(&shown) {
        let output = succeed(&mut lake.redlake(&["query", sql])).stdout;
        let output = String::from_utf8(output).expect("UTF-8");
        if output.trim_end() != expected {
            wrong.push(format!("{number}. {sql}\n{output}"));
        }
    }
    assert!(wrong.is_empty(), "other answers:\n{}", wrong.join("\n"));

    assert!(shown[9].0.contains(OWN_ACCOUNT) && shown[15].0.contains(NOTE));
    let facts = Facts::of(Answers::read(&lake.raw_pages()));
    for (number, (figures, (sql, _))) in
        (1..).zip(FIRST_TWELVE.iter().chain(&LAST_EIGHT).zip(&shown))
    {
        let (answered, computed) = (lake.query(sql), figures(&facts));
        if answered != computed {
            wrong.push(format!(
                "{number}. {sql}\nanswered {answered:#?}\ncomputed {computed:#?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "not what the pages say:\n{}",
        wrong.join("\n")
    );
}
