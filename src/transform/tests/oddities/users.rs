//! Answers of a user search.

use serde_json::{Value, json};

use super::{Object, Oddities};

impl Oddities {
    pub fn user_page(&mut self, _search_id: &str) -> Value {
        let users = self.random.usize(14..21);
        let users: Vec<Value> = (0..users).map(|_| self.user()).collect();
        let mut data = json!({"users": users, "has_more": self.random.bool()});
        if !self.odd("no facets", 6) {
            data["filters"] = self.facets();
        }
        self.enveloped(data)
    }

    fn user(&mut self) -> Value {
        let id = format!("user{}", self.random.u8(..));
        let mut user = Object::new();
        let name = if self.odd("a nickname of many", 3) {
            "Amir".to_owned()
        } else {
            self.word()
        };
        let red_id = if self.odd("a red_id of letters", 5) {
            format!("{}_{}", self.one_of(&["lin", "Mei"]), self.random.u8(..))
        } else {
            self.random.u64(1..99_999_999_999).to_string()
        };
        self.user_lines(&mut user, &red_id);
        self.user_counts(&mut user);
        let rest = json!({
            "id": id,
            "name": name,
            "red_id": red_id,
            "image": *self.one_of(&["https://img.example.com/avatar", ""]),
            "link": format!("app://user/{id}"),
            "red_official_verified": self.random.bool(),
            "red_official_verify_type": self.random.u8(0..3),
            "show_red_official_verify_icon": false,
            "followed": false,
            "self": false,
            "reason": "",
            "track_duration": 0,
            "vshow": 0,
        });
        if self.odd("a time of the last activity", 8) {
            let times = [
                json!("5天前更新"),
                json!(1_763_000_000),
                json!(0),
                json!(""),
            ];
            user.insert("update_time".to_owned(), self.one_of(&times).clone());
        }
        user.extend(rest.as_object().cloned().unwrap_or_default());
        Value::Object(user)
    }

    /// The two lines under a user's name.
    fn user_lines(&mut self, user: &mut Object, red_id: &str) {
        let fans = self.count_text();
        let notes = self.random.u32(0..3_000);
        let desc = match self.random.u8(0..8) {
            0 => {
                self.count("fans and notes in desc");
                format!("粉丝·{fans} | 笔记·{notes}")
            }
            1 => {
                self.count("a shop in desc");
                let shop = *self.one_of(&["服装配饰店", "个护 美妆店", "店", "清单"]);
                format!("粉丝·{fans} | {shop} | 笔记·{notes}")
            }
            2 => {
                self.count("an age in desc");
                let unit = *self.one_of(&["天", "小时", "个月", "光年"]);
                format!("粉丝·{fans} | {}{unit}前更新", self.random.u8(1..60))
            }
            3 => self.sentence(),
            4 => {
                self.count("a biography that speaks of followers");
                let parts = [
                    "粉丝",
                    "万粉丝",
                    "感谢",
                    " | ",
                    "·",
                    " ",
                    "笔记",
                    "店",
                    "更新",
                ];
                let mut text = String::new();
                for _ in 0..self.random.usize(1..6) {
                    let part = *self.one_of(&parts);
                    text.push_str(&self.maybe(|o| o.count_text()).unwrap_or(part.to_owned()));
                }
                text
            }
            _ => {
                self.count("an account number in desc");
                format!("小红书号:{red_id}")
            }
        };
        let sub_title = match self.random.u8(0..5) {
            0 => {
                self.count("an account number in sub_title");
                format!("小红书号\u{FF1A}{red_id}")
            }
            1 => {
                self.count("fans in sub_title");
                format!("粉丝 {fans}")
            }
            _ => String::new(),
        };
        user.insert("desc".to_owned(), json!(desc));
        if self.random.u8(0..8) > 0 {
            user.insert("sub_title".to_owned(), json!(sub_title));
        }
    }

    fn user_counts(&mut self, user: &mut Object) {
        if self.odd("fans as text", 4) {
            user.insert("fans".to_owned(), json!(self.count_text()));
        } else if self.odd("fans as a number", 6) {
            user.insert("fans".to_owned(), json!(self.random.u32(..)));
        } else {
            self.count("no fans");
        }
        if self.odd("note_count", 4) {
            let count = self.random.u32(0..2_000);
            let count = self
                .maybe(|_| json!(count))
                .unwrap_or(json!(count.to_string()));
            user.insert("note_count".to_owned(), count);
        }
    }

    /// The facets that stand on every page.
    fn facets(&mut self) -> Value {
        let groups = [
            ("fans_count", ["all", "0-100", "100-1000"]),
            (
                "user_type",
                ["all", "regular_user", "business_verification"],
            ),
        ];
        let facets = groups.map(|(id, options)| {
            if self.odd("a facet without options", 12) {
                return json!({"id": id, "name": id, "type": "single"});
            }
            let mut tags: Vec<Value> = options.map(|option| self.facet_option(option)).to_vec();
            if self.odd("a facet's option twice", 12) {
                tags.push(self.facet_option(options[0]));
            }
            json!({
                "id": id,
                "name": self.word(),
                "type": "single",
                "group_show_type": 0,
                "invisible": true,
                "word_request_id": self.id(),
                "filter_tags": tags,
            })
        });
        json!(facets)
    }

    fn facet_option(&mut self, id: &str) -> Value {
        let sub_filters = if self.odd("sub_filters that are there", 8) {
            json!([{"id": "more", "filter_tags": [{"id": "deep"}]}])
        } else {
            self.count("sub_filters null");
            Value::Null
        };
        json!({
            "id": id,
            "name": self.word(),
            "need_location_info": false,
            "sub_filters": sub_filters,
            "origin_text": "",
            "icon_url": "",
        })
    }
}
