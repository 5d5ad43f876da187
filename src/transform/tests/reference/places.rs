//! Places in an answer, and standing at one of them.

use serde_json::Value;

/// One step into an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Key(String),
    /// `[*]`: each element of a list.
    Each,
    /// `/*`: each value of an object.
    Values,
}

/// The steps from the whole answer to a value.
pub type Place = Vec<Step>;

/// The steps of a path such as `/data/items[*]` or `/stream/*[*]`.
pub fn steps(path: &str) -> Place {
    let mut steps = Vec::new();
    for segment in path.split('/').skip(1) {
        let lists = segment.matches("[*]").count();
        match segment.trim_end_matches("[*]") {
            "" => {}
            "*" => steps.push(Step::Values),
            key => steps.push(Step::Key(key.to_owned())),
        }
        steps.extend(std::iter::repeat_n(Step::Each, lists));
    }
    steps
}

/// How far out a path goes, and the rest of it.
pub fn outward(path: &str) -> (usize, &str) {
    let rest = path.trim_start_matches('^');
    (path.len() - rest.len(), rest)
}

/// A place as `drift` shows it.
pub fn written(place: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => format!("/{key}"),
        Step::Each => "[*]".to_owned(),
        Step::Values => "/*".to_owned(),
    };
    place.iter().map(step).collect()
}

/// Where a rule stands in an answer.
#[derive(Clone, Debug)]
pub struct Spot<'v> {
    /// The value that paths start at, and outward from it what each `^` leads to.
    around: Vec<&'v Value>,
    /// Places in the lists on the way, the outermost first.
    pub indexes: Vec<usize>,
    /// The key of the innermost object whose values a rule goes over.
    pub key: Option<&'v str>,
}

impl<'v> Spot<'v> {
    pub fn page(answer: &'v Value) -> Self {
        Spot {
            around: vec![answer],
            indexes: Vec::new(),
            key: None,
        }
    }

    /// The value that paths start at.
    pub fn value(&self) -> &'v Value {
        self.around[0]
    }

    /// The value at a path; null is nothing.
    pub fn at(&self, path: &str) -> Option<&'v Value> {
        let (levels, rest) = outward(path);
        let mut value = self.around[levels];
        for key in rest.split('/').skip(1) {
            value = value.get(key)?;
        }
        (!value.is_null()).then_some(value)
    }

    /// The same place, paths starting at a value inside it.
    pub fn inside(&self, value: &'v Value) -> Self {
        let mut inside = self.clone();
        inside.around.insert(0, value);
        inside
    }

    /// Every element that a path with `[*]` and `*` leads to.
    pub fn elements(&self, path: &str) -> Vec<Spot<'v>> {
        let mut reached = vec![(self.clone(), self.around[0])];
        for step in steps(path) {
            let mut next = Vec::new();
            for (spot, value) in reached {
                match (&step, value) {
                    (Step::Key(key), _) => {
                        next.extend(value.get(key).map(|inner| (spot, inner)));
                    }
                    (Step::Each, Value::Array(elements)) => {
                        for (index, element) in elements.iter().enumerate() {
                            next.push((spot.element(element, index), element));
                        }
                    }
                    (Step::Values, Value::Object(entries)) => {
                        for (index, (key, element)) in entries.iter().enumerate() {
                            let mut inner = spot.element(element, index);
                            inner.key = Some(key);
                            next.push((inner, element));
                        }
                    }
                    _ => {}
                }
            }
            reached = next;
        }
        reached.into_iter().map(|(spot, _)| spot).collect()
    }

    fn element(&self, element: &'v Value, index: usize) -> Self {
        let mut inner = self.inside(element);
        inner.indexes.push(index);
        inner
    }
}
