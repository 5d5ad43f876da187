//! Values that do not belong where they stand, and answers that are none.

use serde_json::{Value, json};

use super::written::as_it_is;
use super::{Object, Oddities};
use crate::raw::page::RawPage;
use crate::spec::class::CallClass;

/// Values that fit few places, each with what it is.
pub fn wrong_values() -> Vec<(&'static str, Value)> {
    vec![
        ("a text", json!("none")),
        ("a text", json!("")),
        ("a text", json!(" 7 ")),
        ("a text", json!("true")),
        ("a text", json!("x".repeat(201))),
        ("a text", json!("粉丝 3.9万 #早[话题]#")),
        ("a float", json!(2.9)),
        ("a float", json!(-0.5)),
        ("a float that is whole", as_it_is("5.0")),
        ("a float that is whole", as_it_is("17e8")),
        ("a float that is whole", as_it_is("-0")),
        ("a float beyond every integer", json!(1e30)),
        ("a negative number", json!(-7)),
        ("a negative number", json!(i64::MIN)),
        ("a number above i64", json!(u64::MAX)),
        (
            "a number above u64",
            as_it_is("123456789012345678901234567890"),
        ),
        ("a number above u64", as_it_is("-12345678901234567890123")),
        ("a number above u64", as_it_is("9223372036854775808.0")),
        ("a number beyond float64", as_it_is("1e400")),
        ("a number beyond float64", as_it_is("-12.5E+400")),
        (
            "a number beyond float64",
            as_it_is("1e99999999999999999999"),
        ),
        ("a float", as_it_is("2.50")),
        ("a float", as_it_is("1e-400")),
        ("a float that is whole", as_it_is("1.2E3")),
        ("a float that is whole", as_it_is("12345678901234567.0")),
        ("a float that is whole", as_it_is("0e400")),
        ("digits in a text", json!("99999999999999999999")),
        ("digits in a text", json!("-1e400")),
        ("zero", json!(0)),
        ("zero", json!("0")),
        ("a number that is no time", json!(4_102_444_800_i64)),
        (
            "a number that is no time",
            json!(99_999_999_999_999_999_i64),
        ),
        ("digits in a text", json!("1772861202")),
        ("a truth value", json!(true)),
        ("a truth value", json!(false)),
        ("a list", json!([])),
        ("a list", json!(["ads", 1, null, {"id": "x"}])),
        ("an object", json!({})),
        ("an object", json!({"id": "x", "0": [{}]})),
        ("null", Value::Null),
    ]
}

impl Oddities {
    /// Changes some of the items of a search's answer and what stands around them; the number of
    /// items that are left.
    pub fn spoil_page(&mut self, answer: &mut Value) -> usize {
        let (data, key) = match answer["data"].get("items") {
            Some(_) => (&mut answer["data"], "items"),
            None => (&mut answer["data"], "users"),
        };
        let Some(Value::Array(items)) = data.get_mut(key) else {
            return 0;
        };
        items.iter_mut().for_each(|item| self.spoil_item(item));
        if self.odd("no items", 40) {
            items.clear();
        }
        let mut left = items.len();
        let spoilt = [
            ("items null", Value::Null),
            ("no list of items", json!({"0": {"id": "x"}})),
            ("no list of items", json!("none")),
        ];
        for (name, value) in spoilt {
            if self.odd(name, 60) {
                data[key] = value;
                left = 0;
            }
        }
        self.spoil_keys(data);
        if self.odd("data null", 40) {
            answer["data"] = Value::Null;
            left = 0;
        } else if self.odd("data as a list", 60) {
            answer["data"] = json!([answer["data"]]);
            left = 0;
        }
        left
    }

    /// Changes one of some items.
    pub fn spoil_item(&mut self, item: &mut Value) {
        if self.odd("an item that is no object", 300) {
            *item = wrong_values()[self.random.usize(..wrong_values().len())]
                .1
                .clone();
            return;
        }
        if self.odd("a value replaced", 6) {
            self.replace(item);
        }
        self.spoil_ids(item);
        if self.random.u8(0..10) == 0 {
            self.spoil_keys(item);
        }
    }

    /// Puts a value that does not belong there at one place.
    fn replace(&mut self, item: &mut Value) {
        let mut places = Vec::new();
        pointers(item, "", &mut places);
        let place = self.one_of(&places).clone();
        let Some(value) = item.pointer_mut(&place) else {
            return;
        };
        if value.is_object() && self.odd("a list where an object belongs", 2) {
            *value = json!([value]);
            return;
        }
        if value.is_array() && self.odd("an object where a list belongs", 2) {
            *value = json!({"0": value});
            return;
        }
        let wrong = wrong_values();
        let (name, wrong) = self.one_of(&wrong);
        self.count(name);
        *value = wrong.clone();
    }

    fn spoil_ids(&mut self, item: &mut Value) {
        let ids = [
            "/note/id",
            "/ads/note/id",
            "/note/user/userid",
            "/id",
            "/note_id",
        ];
        for id in ids {
            let Some((parent, key)) = id.rsplit_once('/') else {
                continue;
            };
            let Some(Value::Object(parent)) = item.pointer_mut(parent) else {
                continue;
            };
            if !parent.contains_key(key) {
                continue;
            }
            if self.odd("a missing id", 50) {
                parent.remove(key);
            } else if self.odd("a blank id", 50) {
                let blanks = ["", " ", "\u{3000}\n", "\u{200B}", "\u{FEFF}\t"];
                parent.insert(key.to_owned(), json!(*self.one_of(&blanks)));
            } else if self.odd("an id as a number", 50) {
                parent.insert(
                    key.to_owned(),
                    json!(self.random.u64(..) >> self.random.u8(0..63)),
                );
            }
        }
    }

    /// Adds a key that no contract knows to one object.
    pub fn spoil_keys(&mut self, value: &mut Value) {
        if self.random.u8(0..3) > 0 {
            return;
        }
        let mut places = Vec::new();
        pointers(value, "", &mut places);
        places.retain(|place| value.pointer(place).is_some_and(Value::is_object));
        if places.is_empty() {
            return;
        }
        let place = self.one_of(&places).clone();
        let object = value.pointer_mut(&place).and_then(Value::as_object_mut);
        let object = object.expect("an object");
        self.unknown_key(object);
    }

    fn unknown_key(&mut self, object: &mut Object) {
        let scalars = [json!(true), json!(1), json!(2.5), json!("new"), Value::Null];
        let scalar = self.one_of(&scalars).clone();
        let (name, key, value) = match self.random.u8(0..5) {
            0 => ("an unknown key", "brand_new".to_owned(), scalar),
            1 => {
                let nested = (0..90).fold(json!({"id": [1, "x"]}), |inner, _| json!([inner]));
                ("an unknown key with much in it", "deep".to_owned(), nested)
            }
            2 => {
                let id = format!("64{:04x}", self.random.u8(0..40));
                (
                    "an unknown key that looks like data",
                    id,
                    json!({"id": scalar}),
                )
            }
            3 => {
                let keys = ["user/userid", "[*]", "*", "a~1b", "note/id", "\u{E000}"];
                (
                    "an unknown key with a slash",
                    (*self.one_of(&keys)).to_owned(),
                    scalar,
                )
            }
            _ => ("an empty key", String::new(), scalar),
        };
        self.count(name);
        object.insert(key, value);
    }

    /// Some answers are no JSON, and some are no page.
    pub fn spoil_body(&mut self, page: &mut RawPage) {
        if self.odd("an HTML page", 60) {
            page.body = format!("<html>{}</html>", self.sentence()).into_bytes();
        } else if self.odd("an answer cut off", 40) {
            let end = self.random.usize(..page.body.len());
            page.body.truncate(end);
        } else if self.odd("an empty body", 80) {
            page.body.clear();
        } else if self.odd("an answer that is no page", 40) {
            page.header.accepted = false;
            page.header.class = *self.one_of(&[CallClass::Transient, CallClass::Quota]);
        }
        if self.odd("a byte order mark", 30) {
            page.body.splice(0..0, "\u{FEFF}".bytes());
        }
        if self.odd("a body in GBK", 40) {
            let text = page.text().text.into_owned();
            page.body = encoding_rs::GBK.encode(&text).0.into_owned();
            page.header.content_type = Some("application/json; charset=gbk".to_owned());
        } else if self.odd("a character cut in the middle", 40) {
            let inside = page.body.iter().position(|byte| *byte >= 0x80);
            page.body.splice(inside.map_or(0..0, |at| at..at + 1), []);
        }
    }
}

/// All places in a value, from the outermost.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let inner: Vec<(String, &Value)> = match value {
        Value::Array(elements) => {
            let numbered = elements.iter().enumerate();
            numbered
                .map(|(i, element)| (i.to_string(), element))
                .collect()
        }
        Value::Object(entries) => entries
            .iter()
            .map(|(key, element)| (key.replace('~', "~0").replace('/', "~1"), element))
            .collect(),
        _ => Vec::new(),
    };
    for (key, element) in inner {
        pointers(element, &format!("{at}/{key}"), found);
    }
}
