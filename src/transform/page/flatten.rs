//! Flattens the pages of one run in sequence.

use std::collections::HashMap;

use crate::raw::body::BodyText;
use crate::raw::page::{PageHeader, RawPage};
use crate::run_meta::RunMeta;
use crate::spec::blank::is_blank;
use crate::spec::source::ParamFrom;
use crate::transform::contracts::Transform;
use crate::transform::error::TransformError;
use crate::transform::page::captures::{Captures, PAGE, Scalar, number_type};
use crate::transform::page::json::NotJson;
use crate::transform::page::repair::{QuotedNumbers, without_lone_surrogates};
use crate::transform::page::rows::{Emitter, PageInput, window};
use crate::transform::page::walk::{Body, KeyOrder, Walked, walk};
use crate::transform::program::mapping::Program;
use crate::transform::quality::reject::Reject;
use crate::transform::tables::accumulator::{Accumulator, Finished, Spill};

/// Flattens pages of one run, on one thread.
pub struct Flattener<'t> {
    transform: &'t Transform,
    meta: RunMeta,
    accumulator: Accumulator<'t>,
    /// Keyed by source and endpoint.
    orders: HashMap<(String, String), KeyOrder>,
    /// Captures of the last page, whose memory is reused.
    captures: Captures<'static>,
}

impl<'t> Flattener<'t> {
    pub fn new(
        transform: &'t Transform,
        meta: RunMeta,
        only: &[&str],
        spill: Option<Spill<'t>>,
    ) -> Self {
        Flattener {
            transform,
            meta: meta.clone(),
            accumulator: Accumulator::new(transform, meta, only, spill),
            orders: HashMap::new(),
            captures: Captures::default(),
        }
    }

    /// Flattens one page. A body that is not a valid page becomes a reject.
    ///
    /// # Errors
    /// The contracts do not declare the page's endpoint, or the disk is full.
    pub fn push(&mut self, page: &RawPage) -> Result<(), TransformError> {
        self.page(&page.header, &page.text())
    }

    /// As [`Flattener::push`].
    ///
    /// # Errors
    /// As [`Flattener::push`].
    pub fn page(&mut self, header: &PageHeader, body: &BodyText<'_>) -> Result<(), TransformError> {
        let search = &header.search;
        let key = (search.source.clone(), search.endpoint.clone());
        let transform = self.transform;
        let Some(program) = transform.programs.get(&key) else {
            return Err(TransformError::UnknownEndpoint {
                source_name: search.source.clone(),
                endpoint: search.endpoint.clone(),
            });
        };
        let order = self.orders.entry(key).or_default();
        let mut captures = std::mem::take(&mut self.captures);
        let outcome = if header.accepted {
            let mut reading = Reading {
                transform,
                program,
                meta: &self.meta,
                header,
                order,
                accumulator: &mut self.accumulator,
            };
            reading.read(body, &mut captures)
        } else {
            Err(NO_PAGE)
        };
        self.captures = captures;
        if let Err(reason) = outcome {
            let value = transform.redaction.shown_page(&body.text);
            let reject = page_reject(header, value, reason);
            match reason {
                NO_PAGE => self.accumulator.keep(&reject),
                _ => self.accumulator.reject(&reject),
            }
        }
        Ok(self
            .accumulator
            .end_page(&search.source, &search.endpoint)?)
    }

    /// Returns the rows, rejects and drift of the pages.
    ///
    /// # Errors
    /// A contract whose tables cannot hold what it maps.
    pub fn finish(self) -> Result<Finished, TransformError> {
        Ok(self.accumulator.finish()?)
    }
}

const NO_PAGE: &str = "the answer is not a page";
const NO_SUBJECT: &str = "the answer does not name its subject";

/// State of flattening one answer.
struct Reading<'r, 't> {
    transform: &'t Transform,
    program: &'t Program,
    meta: &'r RunMeta,
    header: &'r PageHeader,
    order: &'r mut KeyOrder,
    accumulator: &'r mut Accumulator<'t>,
}

impl Reading<'_, '_> {
    /// Walks a body and appends its rows. The error is the reason why it is not a page. If the body
    /// is not JSON because of lone surrogates, they are replaced and it is walked again.
    fn read(
        &mut self,
        body: &BodyText<'_>,
        memory: &mut Captures<'static>,
    ) -> Result<(), &'static str> {
        let BodyText { text, is_replaced } = body;
        let mut emitted = self.attempt(text, *is_replaced, memory);
        if emitted.is_err()
            && let Some(repaired) = without_lone_surrogates(text)
        {
            emitted = self.attempt(&repaired, true, memory);
        }
        emitted.unwrap_or(Err("the answer is not JSON"))
    }

    /// Walks a text and appends its rows. The inner error is the reason why it gives none. If the
    /// walk fails or a number may be rounded, the text is walked again with its numbers as written.
    fn attempt(
        &mut self,
        text: &str,
        is_replaced: bool,
        memory: &mut Captures<'static>,
    ) -> Result<Result<(), &'static str>, NotJson> {
        let body = Body {
            text,
            is_replaced,
            quoted: &[],
        };
        let mut captures = Captures::recycled(std::mem::take(memory));
        let mut walked = self.walk(body, &mut captures);
        let is_exact = walked.as_ref().is_ok_and(|walked| !walked.is_inexact);
        if !is_exact && let Some(numbers) = QuotedNumbers::new(text) {
            self.accumulator.page_drift.take();
            let body = Body {
                text: &numbers.text,
                is_replaced,
                quoted: &numbers.starts,
            };
            let mut captures = Captures::recycled(captures);
            walked = self.walk(body, &mut captures);
            let emitted = walked.map(|walked| self.emit(&walked, &captures));
            *memory = Captures::recycled(captures);
            emitted
        } else {
            let emitted = walked.map(|walked| self.emit(&walked, &captures));
            *memory = Captures::recycled(captures);
            emitted
        }
    }

    fn walk<'a>(&mut self, body: Body<'a>, captures: &mut Captures<'a>) -> Result<Walked, NotJson> {
        let drift = &mut self.accumulator.page_drift;
        let walked = walk(self.program, body, captures, self.order, drift);
        if walked.is_err() {
            self.accumulator.page_drift.take();
        }
        walked
    }

    /// Appends the rows of an answer. The error is the reason why it gives none.
    fn emit(&mut self, walked: &Walked, captures: &Captures<'_>) -> Result<(), &'static str> {
        if !walked.has_items {
            return Err("the answer has no list of items");
        }
        self.check_subject(captures)?;
        let page = PageInput {
            transform: self.transform,
            program: self.program,
            captures,
            meta: self.meta,
            header: self.header,
            window: window(self.header),
        };
        Emitter::new(page, self.accumulator).emit();
        Ok(())
    }

    /// Checks that an answer is about the requested subject, if it names its subject.
    fn check_subject(&self, captures: &Captures<'_>) -> Result<(), &'static str> {
        for about in &self.program.about {
            let Some(asked) = self.header.search.value_of(&about.name, &about.param) else {
                continue;
            };
            let is_other = match captures.get(PAGE, about.value.slot) {
                Scalar::Text(text) if is_blank(text) => return Err(NO_SUBJECT),
                Scalar::Text(text) => text != asked,
                Scalar::Int(number) => number.to_string() != asked,
                Scalar::Uint(number) => number.to_string() != asked,
                Scalar::Number(digits) => number_type(digits) == "integer" && digits != asked,
                // Not an id. The columns that read it report that.
                Scalar::Absent | Scalar::Bool(_) | Scalar::Float(_) | Scalar::Nested(_) => false,
            };
            if is_other {
                return Err(match about.param.from {
                    Some(ParamFrom::NoteId) => "the answer is about another note",
                    _ => "the answer is about something else",
                });
            }
        }
        Ok(())
    }
}

fn page_reject(header: &PageHeader, value: Option<String>, reason: &str) -> Reject {
    let search = &header.search;
    let reason = match reason {
        NO_PAGE => format!("{NO_PAGE}: {}", header.class),
        reason => reason.to_owned(),
    };
    Reject {
        source: search.source.clone(),
        table: None,
        endpoint: search.endpoint.clone(),
        search_id: search.search_id.clone(),
        page: header.page,
        item_index: None,
        column: None,
        reason,
        value,
    }
}
