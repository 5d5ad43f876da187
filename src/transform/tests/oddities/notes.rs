//! Answers of a note search.

use serde_json::{Value, json};

use super::{Object, Oddities};

const CODECS: [&str; 4] = ["h264", "h265", "av1", "h266"];

impl Oddities {
    pub fn note_page(&mut self, search_id: &str) -> Value {
        let items = self.random.usize(16..23);
        let items: Vec<Value> = (0..items).map(|_| self.note_item(search_id)).collect();
        let status = json!({"note": "success", "cost": {"all": self.random.u32(..900)}});
        let mut data = json!({
            "items": items,
            "query_type": 0,
            "query_intent": {
                "goodsIntent": self.random.i32(0..4),
                "search_ask_intent": self.random.bool(),
                "low_supply_intent": self.random.bool(),
            },
            "service_status": status.to_string(),
            "strategy_info": {"query_average_impression_count": 19},
            "show_single_col": false,
            "search_request_id": self.id(),
            "is_broad_query": self.random.bool(),
            "can_cut": false,
            "has_more": self.random.bool(),
        });
        if self.random.u8(0..9) == 0 {
            data["query_intent"] = Value::Null;
        }
        self.enveloped(data)
    }

    /// The answer around `data` of a search.
    pub fn enveloped(&mut self, data: Value) -> Value {
        let mut answer = json!({"code": 0, "data": data, "message": null});
        if self.odd("a code as text", 8) {
            answer["code"] = json!("0");
        }
        if self.odd("an answer with requestId", 2) {
            answer["requestId"] = json!(self.id());
            answer["recordTime"] = json!("2026-03-09 20:00:01");
        }
        answer
    }

    fn note_item(&mut self, search_id: &str) -> Value {
        let cards = [
            ("hot_query", "a hot_query card"),
            ("rec_query", "a rec_query card"),
            ("related_queries", "a related_queries card"),
            ("live", "a live card"),
        ];
        for (card, name) in cards {
            if self.odd(name, 60) {
                return json!({"model_type": card, card: {"queries": [{"name": self.word()}]}});
            }
        }
        if self.odd("an item without model_type", 40) {
            return match self.maybe(|o| o.note(search_id)) {
                Some(note) => json!({"note": note}),
                None => json!({}),
            };
        }
        let note = self.note(search_id);
        if self.odd("an unknown kind", 30) {
            let kinds = ["note_v2", "live_v2", "", "\u{1F600}", "NOTE", "ads "];
            let kind = if self.odd("an unknown kind that looks like data", 3) {
                format!("kind{}", self.random.u8(..))
            } else {
                (*self.one_of(&kinds)).to_owned()
            };
            return match self.random.u8(0..3) {
                0 => json!({"model_type": kind, "card": {"note": note}}),
                1 => json!({"model_type": kind, "ads": {"note": note}}),
                _ => json!({"model_type": kind, "note": note}),
            };
        }
        let mut item = if self.odd("an ad", 8) {
            json!({"model_type": "ads", "ads": {"model_type": "note", "note": note}})
        } else {
            json!({"model_type": "note", "note": note})
        };
        if self.odd("another mark of an ad", 12) {
            self.mark_as_ad(&mut item);
        }
        item
    }

    fn mark_as_ad(&mut self, item: &mut Value) {
        let places = ["", "/note", "/ads/note"];
        let marks = [
            ("model_type", json!("ad")),
            ("ads_info", json!({"id": 1})),
            ("ads_info", json!({})),
            ("ads_info", Value::Null),
            ("is_ads", json!(true)),
            ("is_ads", json!(1)),
            ("is_ads", json!("true")),
            ("is_ads", json!(false)),
            ("is_ads", json!(0)),
        ];
        let (key, mark) = self.one_of(&marks).clone();
        let place = if key == "model_type" {
            ""
        } else {
            *self.one_of(&places)
        };
        if let Some(Value::Object(object)) = item.pointer_mut(place) {
            object.insert(key.to_owned(), mark);
        }
    }

    /// One of the notes of this run, which many pages show, each time with other contents.
    fn note(&mut self, search_id: &str) -> Value {
        let known = self.notes.len();
        let id = if known > 60 && self.random.u8(0..3) > 0 {
            let ids: Vec<&String> = self.notes.keys().collect();
            ids[self.random.usize(..known)].clone()
        } else {
            self.id()
        };
        let mut note = Object::new();
        let images = self.images(&mut note);
        let tags = self.note_texts(&mut note);
        self.remember(&id, search_id, images, tags);
        note.insert("id".to_owned(), json!(id));
        self.note_times(&mut note);
        self.note_counts(&mut note);
        self.video(&mut note);
        self.badges(&mut note);
        let author = self.author();
        let context = json!({"author_id": author["userid"], "author_name": author["nickname"]});
        note.insert("user".to_owned(), author);
        self.count("JSON in a string");
        note.insert("widgets_context".to_owned(), json!(context.to_string()));
        note.insert("has_music".to_owned(), json!(self.random.bool()));
        note.insert("xsec_token".to_owned(), json!(format!("YB{}=", self.id())));
        for switch in ["followed", "liked", "collected", "niced"] {
            note.insert(switch.to_owned(), json!(false));
        }
        note.insert("geo_info".to_owned(), json!({"distance": ""}));
        let attributes = [
            json!([]),
            json!([]),
            json!(["goods"]),
            json!(["new_mark", "goods"]),
            json!(["goods_v2"]),
        ];
        note.insert(
            "note_attributes".to_owned(),
            self.one_of(&attributes).clone(),
        );
        Value::Object(note)
    }

    fn remember(&mut self, id: &str, search_id: &str, images: bool, tags: bool) {
        let known = self.notes.remove(id);
        let before = known.is_some();
        let mut seen = known.unwrap_or_default();
        let here = seen.searches.iter().any(|s| s == search_id);
        let told = [
            ("a note seen again on a page of its search", here),
            ("a note seen by another search", before && !here),
            ("a note that lost its images", seen.images && !images),
            ("a note that lost its hashtags", seen.tags && !tags),
        ];
        for (name, _) in told.into_iter().filter(|(_, happened)| *happened) {
            self.count(name);
        }
        seen.images = images;
        seen.tags = tags;
        seen.searches.push(search_id.to_owned());
        self.notes.insert(id.to_owned(), seen);
    }

    /// The texts of a note; whether there is a hashtag in them.
    fn note_texts(&mut self, note: &mut Object) -> bool {
        let places = [
            ("title", "a hashtag in the title", 12),
            ("desc", "a hashtag in the description", 2),
            ("abstract_show", "a hashtag in the abstract", 20),
        ];
        let mut any = false;
        for (key, name, one_in) in places {
            let tagged = self.odd(name, one_in);
            any |= tagged;
            if tagged {
                note.insert(key.to_owned(), json!(self.tagged()));
            } else if key != "abstract_show" || self.odd("an abstract", 20) {
                note.insert(key.to_owned(), json!(self.sentence()));
            }
        }
        if self.odd("no title", 4) {
            note.remove("title");
        } else if self.odd("a null title", 12) {
            note.insert("title".to_owned(), Value::Null);
        } else if self.odd("an empty title", 12) {
            note.insert("title".to_owned(), json!(""));
        }
        let title = if self.odd("a tag_info title", 10) {
            self.word()
        } else {
            String::new()
        };
        note.insert("tag_info".to_owned(), json!({"title": title, "type": ""}));
        any
    }

    fn note_times(&mut self, note: &mut Object) {
        let published = self.seconds();
        if self.odd("timestamp 0", 12) {
            note.insert("timestamp".to_owned(), json!(0));
        } else if !self.odd("no timestamp", 12) {
            note.insert("timestamp".to_owned(), json!(published));
        }
        if !self.odd("no update_time", 6) {
            let millis = published * 1_000 + self.random.i64(0..1_000_000);
            note.insert("update_time".to_owned(), json!(millis));
        }
        let last = if self.odd("last_update_time 0", 2) {
            0
        } else {
            published + 7
        };
        note.insert("last_update_time".to_owned(), json!(last));
    }

    fn note_counts(&mut self, note: &mut Object) {
        for count in ["liked", "collected", "comments", "shared", "nice"] {
            if self.random.u8(0..20) > 0 {
                note.insert(format!("{count}_count"), json!(self.random.u32(0..90_000)));
            }
        }
        if self.odd("interaction_area", 2) {
            let area = json!({"text": self.count_text(), "type": 1, "status": false});
            note.insert("interaction_area".to_owned(), area);
        }
    }

    /// The images of a note; whether there are any.
    fn images(&mut self, note: &mut Object) -> bool {
        if self.odd("no image list", 25) {
            return false;
        }
        let images = if self.odd("18 images", 40) {
            18
        } else if self.odd("a note without images", 20) {
            0
        } else {
            self.random.usize(1..5)
        };
        let mut list: Vec<Value> = (0..images).map(|place| self.image(place)).collect();
        if self.odd("a null among images", 30) {
            list.insert(self.random.usize(..=images), Value::Null);
        }
        if self.odd("an empty object among images", 30) {
            let empty = [json!({}), json!({"new": 1}), json!({"url": null})];
            list.insert(self.random.usize(..=images), self.one_of(&empty).clone());
        }
        if self.odd("a text among images", 30) {
            list.insert(
                self.random.usize(..=images),
                json!("https://img.example.com/bare"),
            );
        }
        note.insert("images_list".to_owned(), json!(list));
        if !self.odd("no cover index", 20) {
            let cover = if self.odd("a cover beyond the list", 20) {
                self.random.i64(18..30)
            } else {
                self.random.i64(0..2)
            };
            note.insert("cover_image_index".to_owned(), json!(cover));
        }
        images > 0
    }

    fn image(&mut self, place: usize) -> Value {
        let file = format!("notes/{}", self.id());
        let address = format!(
            "https://img.example.com/{file}?sign={}",
            self.random.u32(..)
        );
        let mut image = json!({
            "need_load_original_image": false,
            "fileid": file,
            "trace_id": file,
            "width": self.random.u32(200..5_000),
            "height": self.random.u32(200..5_000),
            "url": address,
            "url_size_large": format!("{address}&large"),
            "original": "",
        });
        if place > 0 {
            self.count("an image with an empty url");
            image["url"] = json!("");
        }
        if self.odd("a live photo", 30) {
            image["live_photo"] = json!({"media": {"stream": {"h264": [{"master_url": "x"}]}}});
            if let Some(file) = self.maybe(|o| o.id()) {
                image["live_photo_file_id"] = json!(file);
            }
        }
        image
    }

    fn video(&mut self, note: &mut Object) {
        if self.random.u8(0..4) > 0 {
            note.insert("type".to_owned(), json!("normal"));
            return;
        }
        note.insert("type".to_owned(), json!("video"));
        let mut streams = Object::new();
        for codec in CODECS {
            if self.odd(codec, 2) {
                let many = self.random.usize(1..3);
                let list: Vec<Value> = (0..many).map(|_| self.stream(codec)).collect();
                streams.insert(codec.to_owned(), json!(list));
            } else if self.odd("a codec without streams", 8) {
                streams.insert(
                    codec.to_owned(),
                    self.one_of(&[json!([]), json!(null)]).clone(),
                );
            }
        }
        if self.odd("an unknown codec", 8) {
            streams.insert("vvc/2".to_owned(), json!([self.stream("vvc")]));
        }
        let seconds = self.random.u32(1..900);
        let ids = [
            json!(0),
            json!(137_849_201_884_938_472_u64),
            json!("137849201884938472"),
        ];
        let mut media = json!({
            "video": {"width": 720, "md5": self.id(), "duration": seconds},
            "video_id": self.one_of(&ids).clone(),
            "user_level": 0,
        });
        if !self.odd("a video without streams", 12) {
            media["stream"] = Value::Object(streams);
        }
        let video = json!({
            "capa": {"duration": seconds, "frame_ts": 0, "is_upload": false, "is_user_select": true},
            "consumer": {"can_super_resolution": true},
            "image": {
                "thumbnail": "https://img.example.com/thumb",
                "thumbnail_dim": "https://img.example.com/dim",
                "first_frame": *self.one_of(&["https://img.example.com/first", ""]),
            },
            "media": media,
        });
        note.insert("video_info_v2".to_owned(), video);
    }

    fn stream(&mut self, codec: &str) -> Value {
        json!({
            "master_url": format!("http://video.example.com/{}", self.id()),
            "backup_urls": ["http://video.example.com/other"],
            "width": 720,
            "height": 1_280,
            "duration": self.random.u32(1_000..900_000),
            "size": self.random.u64(1..9_000_000_000),
            "fps": match self.odd("an integer that float64 does not hold", 100) {
                true => json!((1_u64 << 53) + 1),
                false if self.odd("a frame rate in words", 100) => {
                    self.one_of(&[json!("NTSC"), json!("-1e999"), json!("1e999")]).clone()
                }
                false => self.one_of(&[json!(30), json!(29.97), json!(60.0)]).clone(),
            },
            "video_codec": codec,
            "avg_bitrate": self.random.u32(..),
            "hdr_type": self.random.u8(0..3),
            "quality_type": *self.one_of(&["HD", "FHD", ""]),
            "audio_bitrate": 128_000,
            "psnr": 38.5,
            "opaque1": {"use_pcdn": "1"},
        })
    }

    fn badges(&mut self, note: &mut Object) {
        if self.odd("no badges", 6) {
            return;
        }
        let mut badges = Vec::new();
        if self.odd("a badge ubt_sig_token", 2) {
            badges.push(json!({"type": "ubt_sig_token", "text": self.id(), "location": -1}));
        }
        if self.odd("a badge publish_time", 3) {
            let age = format!("{}天前", self.random.u8(1..9));
            badges.push(json!({"type": "publish_time", "text": age, "style": 0}));
        }
        if self.odd("a badge poi", 6) {
            let mut poi = json!({"type": "poi", "poi_id": self.id(), "text": self.word()});
            if self.odd("a badge poi without text", 2) {
                poi.as_object_mut().map(|poi| poi.remove("text"));
            }
            badges.push(poi);
        }
        if self.odd("a badge without a type", 20) {
            badges.push(json!({"text": self.word(), "icon": ""}));
        }
        if self.odd("a badge of an unknown type", 20) {
            badges.push(json!({"type": "new_badge", "text": self.word()}));
        }
        if self.odd("a null among badges", 20) {
            badges.push(Value::Null);
        }
        note.insert("corner_tag_info".to_owned(), json!(badges));
    }

    fn author(&mut self) -> Value {
        let mut author = json!({
            "userid": format!("author{}", self.random.u8(0..80)),
            "red_id": self.random.u64(1..99_999_999_999).to_string(),
            "nickname": self.word(),
            "images": *self.one_of(&["https://img.example.com/avatar", ""]),
            "red_official_verified": self.random.bool(),
            "red_official_verify_type": self.random.u8(0..3),
            "followed": false,
            "track_duration": 0,
        });
        if self.odd("FStatus", 5) {
            author["FStatus"] = json!("none");
        }
        author
    }
}
