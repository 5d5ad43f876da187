//! The keywords of a pipeline, with warnings about probably unintended ones.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use indexmap::IndexMap;
use memchr::memchr_iter;

use super::check::Checker;
use crate::spec::load::LoadedPipeline;
use crate::spec::pipeline::KeywordSet;
use crate::spec::yaml::diagnostic::{SourceFile, nearest};
use crate::spec::yaml::document::Spanned;
use crate::spec::yaml::escape::escaped_line;

/// A keyword as it is searched for, with its place.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub text: String,
    pub file: SourceFile,
    pub span: Range<usize>,
}

/// Returns the keywords of each set, without blank ones and repetitions. A set with an unreadable
/// file is absent.
pub(super) fn keyword_sets(
    check: &mut Checker<'_>,
    loaded: &LoadedPipeline,
) -> IndexMap<String, Vec<Word>> {
    let mut sets = IndexMap::new();
    for (name, set) in &loaded.pipeline.keyword_sets {
        let (file, written) = match &set.value {
            KeywordSet::Words(words) => (&loaded.file, words),
            KeywordSet::File(list) => match loaded.lists.get(&list.file.value) {
                Some(list) => (&list.file, &list.entries),
                None => continue,
            },
        };
        sets.insert(name.clone(), words(check, name, file, written));
    }
    sets
}

/// Returns the label of each keyword that has one. Reports labels that are blank, keywords that are in
/// no set, and keywords with two labels.
pub(super) fn keyword_labels(
    check: &mut Checker<'_>,
    loaded: &LoadedPipeline,
    sets: &IndexMap<String, Vec<Word>>,
) -> BTreeMap<String, String> {
    // A set whose file cannot be read is reported already, and its words are unknown.
    let are_known = sets.len() == loaded.pipeline.keyword_sets.len();
    let known: Vec<&str> = sets
        .values()
        .flatten()
        .map(|word| word.text.as_str())
        .collect();
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (label, words) in &loaded.pipeline.keyword_labels {
        if label.trim().is_empty() {
            check.error(label, "the label is blank", "name it, for example `own`");
        }
        for word in words {
            let text = word.trim();
            if are_known && !known.contains(&text) {
                let message = format!("the keyword `{text}` is in no keyword set");
                let hint = match nearest(text, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "add it to a set, or remove it here".to_owned(),
                };
                check.error(word, message, hint);
            }
            match labels.get(text) {
                Some(other) if *other != label.value => {
                    let message = format!("the keyword `{text}` has the label `{other}`, too");
                    check.error(word, message, "give it one label");
                }
                _ => {
                    labels.insert(text.to_owned(), label.value.clone());
                }
            }
        }
    }
    labels
}

fn words(
    check: &mut Checker<'_>,
    set: &str,
    file: &SourceFile,
    written: &[Spanned<String>],
) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut first: HashMap<&str, usize> = HashMap::new();
    let is_blank = |word: &Spanned<String>| word.trim().is_empty();
    let all_blank = written.iter().all(is_blank);
    let line_ends: Vec<usize> = memchr_iter(b'\n', file.text().as_bytes()).collect();
    let line = |start: usize| line_ends.partition_point(|end| *end < start) + 1;
    for pair in written.windows(2) {
        if let [first, second] = pair
            && is_split_number(file, first, second)
        {
            let message = format!(
                "`{0},{1}` in brackets is two keywords, `{0}` and `{1}`",
                first.value, second.value
            );
            let hint = "put it in quotes if one is meant, or write a space after the comma";
            check.warn(file, second.span(), message, hint);
        }
    }
    for word in written {
        let text = word.trim();
        let span = word.span();
        if text.is_empty() {
            // A set of blank keywords only is reported where it is used.
            if !all_blank {
                check.warn(
                    file,
                    span,
                    "this keyword is blank and left out",
                    "remove it",
                );
            }
            continue;
        }
        if let Some(start) = first.get(text) {
            let line = line(*start);
            let message = format!(
                "the keyword `{text}` is in the set `{set}` twice, first in line {line}; it is searched \
                 for once"
            );
            check.warn(file, span, message, "remove it here");
            continue;
        }
        first.insert(text, span.start);
        for (message, hint) in oddities(text).into_iter().chain(spelling(file, &span)) {
            check.warn(file, span.clone(), message, hint);
        }
        words.push(Word {
            text: text.to_owned(),
            file: file.clone(),
            span,
        });
    }
    words
}

/// Returns whether a comma without a space parts the digits of what may be one number, as in `[1,000]`.
fn is_split_number(file: &SourceFile, first: &Spanned<String>, second: &Spanned<String>) -> bool {
    let between = file.text().get(first.span().end..second.span().start);
    let digit = |c: char| c.is_ascii_digit();
    between == Some(",") && first.ends_with(digit) && second.starts_with(digit)
}

type Oddity = (String, &'static str);

/// Returns the oddities of a keyword, each with a hint.
fn oddities(word: &str) -> Vec<Oddity> {
    let mut found = Vec::new();
    if let Some(comma) = word.chars().find(|c| matches!(c, '，' | '、' | '；')) {
        let message = format!(
            "the keyword `{word}` has a Chinese `{comma}` in it and is searched for as one keyword"
        );
        found.push((
            message,
            "if several are meant, write them with `, ` between them, or one a line",
        ));
    }
    if let Some(quote) = typographic_quote(word) {
        let message = format!("the typographic quote `{quote}` is a part of the keyword `{word}`");
        found.push((
            message,
            "if it is not meant to be searched for, remove it; YAML's quotes are \" and '",
        ));
    }
    let shown = escaped_line(word);
    if shown != word {
        let message = format!("the keyword `{shown}` has characters that cannot be seen");
        found.push((message, "retype it without them"));
    }
    found
}

/// Returns the first typographic quote in a word. An apostrophe between letters, as in L’Oréal,
/// does not count.
fn typographic_quote(word: &str) -> Option<char> {
    let chars: Vec<char> = word.chars().collect();
    let is_letter = |at: Option<usize>| {
        at.and_then(|at| chars.get(at))
            .is_some_and(|c| c.is_alphanumeric())
    };
    let mut places = chars.iter().enumerate();
    places.find_map(|(at, c)| {
        let is_apostrophe = *c == '’' && is_letter(at.checked_sub(1)) && is_letter(Some(at + 1));
        let is_quote = matches!(c, '“' | '”' | '‘' | '’' | '「' | '」' | '『' | '』');
        (is_quote && !is_apostrophe).then_some(*c)
    })
}

/// Returns an oddity of a keyword's YAML syntax.
fn spelling(file: &SourceFile, span: &Range<usize>) -> Option<Oddity> {
    let text = file.text();
    let written = text.get(span.clone())?;
    if written == "-" || written.starts_with(['"', '\'', '|', '>']) {
        return None;
    }
    if written.contains('\n') {
        let message = "this keyword spans several lines".to_owned();
        return Some((
            message,
            "begin each keyword with `- `, or write it on one line",
        ));
    }
    let rest = text[span.end..].lines().next()?.trim_start();
    let comment = rest.strip_prefix('#')?;
    comment.starts_with(char::is_alphanumeric).then(|| {
        let message = format!("`#{comment}` is a comment, not part of the keyword");
        (
            message,
            "put the keyword in quotes if it is one, or a space after `#` if not",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_that_separates_or_quotes_nothing_is_odd() {
        let odd = [
            "防晒，面霜",
            "防晒、面霜",
            "防晒；面霜",
            "“防晒”",
            "防晒”",
            "‘面霜’",
            "「精华」",
            "『精华』",
            "’90",
            "防\u{200b}晒",
            "防\u{feff}晒",
        ];
        for word in odd {
            assert_eq!(oddities(word).len(), 1, "{word}");
        }
        assert_eq!(oddities("“防晒”，“面霜”").len(), 2);
        let usual = [
            "防晒",
            "L’Oréal",
            "Kiehl’s",
            "SK-II",
            "1,000",
            "a:b",
            "C#",
            "🧴",
            "《繁花》",
            "防晒·霜",
            "50+",
        ];
        for word in usual {
            assert_eq!(oddities(word), [], "{word}");
        }
    }

    #[test]
    fn the_text_after_a_keyword_is_checked() {
        let told = |text: &str, word: &str| {
            let file = SourceFile::new("p.yaml", text);
            let start = text.find(word).expect("the word");
            spelling(&file, &(start..start + word.len())).map(|(message, _)| message)
        };
        let comment = told("- 防晒 #夏天\n", "防晒");
        assert_eq!(
            comment.as_deref(),
            Some("`#夏天` is a comment, not part of the keyword")
        );
        let lines = told("- 防晒\n  面霜\n", "防晒\n  面霜");
        assert_eq!(lines.as_deref(), Some("this keyword spans several lines"));
        assert_eq!(told("- 防晒 # summer\n", "防晒"), None);
        assert_eq!(told("- '防晒' #夏天\n", "'防晒'"), None);
        assert_eq!(told("- 防晒\n#夏天\n", "防晒"), None);
    }
}
