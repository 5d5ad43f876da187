//! Parts of several answers: counts in short, signed addresses, images, live photos and videos.

use serde::Serialize;

use crate::sandbox::world::dice::Dice;
use crate::sandbox::world::note::Note;
use crate::sandbox::world::stream::DAY;

/// Formats a count as the app does: `1855`, `1.2万`, `381.2万`.
pub fn shortened(count: u64) -> String {
    if count < 10_000 {
        return count.to_string();
    }
    match (count / 10_000, count % 10_000 / 1_000) {
        (whole, 0) => format!("{whole}万"),
        (whole, tenth) => format!("{whole}.{tenth}万"),
    }
}

/// Returns the signature part of an address: signature and expiry. It changes every day.
fn signature(file: &str, now: i64) -> String {
    let expires = now - now.rem_euclid(DAY) + 2 * DAY;
    let sign = Dice::new(0, "signature", &format!("{file}{expires}")).hex(32);
    format!("sign={sign}&t={expires:x}")
}

#[derive(Debug, Serialize)]
pub struct Image {
    need_load_original_image: bool,
    pub fileid: String,
    height: u64,
    width: u64,
    url: String,
    url_size_large: String,
    original: &'static str,
    trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_photo_file_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_photo: Option<LivePhoto>,
}

#[derive(Debug, Serialize)]
struct LivePhoto {
    media: Media,
}

#[derive(Debug, Serialize)]
pub struct VideoInfo {
    capa: Capa,
    consumer: Consumer,
    image: Thumbnail,
    media: Media,
}

#[derive(Debug, Serialize)]
struct Capa {
    duration: u64,
    frame_ts: u64,
    is_upload: bool,
    is_user_select: bool,
}

#[derive(Debug, Serialize)]
struct Consumer {
    can_super_resolution: bool,
}

#[derive(Debug, Serialize)]
struct Thumbnail {
    thumbnail: String,
    thumbnail_dim: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_frame: Option<String>,
}

#[derive(Debug, Serialize)]
struct Media {
    video_id: u64,
    user_level: u8,
    video: Video,
    stream: Streams,
}

#[derive(Debug, Serialize)]
struct Video {
    width: u64,
    height: u64,
    duration: u64,
    md5: String,
}

#[derive(Debug, Serialize)]
struct Streams {
    h264: Vec<Stream>,
    h265: Vec<Stream>,
    av1: Vec<Stream>,
    h266: Vec<Stream>,
}

#[derive(Debug, Serialize)]
struct Stream {
    master_url: String,
    backup_urls: Vec<String>,
    width: u64,
    height: u64,
    /// Milliseconds.
    duration: u64,
    size: u64,
    fps: u64,
    video_codec: &'static str,
    avg_bitrate: u64,
    quality_type: &'static str,
    hdr_type: u8,
    format: &'static str,
    stream_type: u16,
    stream_desc: &'static str,
    default_stream: u8,
    weight: u8,
    rotate: u8,
    volume: u8,
    sr: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'static str>,
    audio_bitrate: u64,
    audio_channels: u8,
    audio_codec: &'static str,
    /// Milliseconds.
    audio_duration: u64,
    video_bitrate: u64,
    /// Milliseconds.
    video_duration: u64,
    psnr: f64,
    ssim: u8,
    vmaf: i8,
    opaque1: Opaque,
}

#[derive(Debug, Serialize)]
struct Opaque {
    use_pcdn: &'static str,
    pcdn_supplier: &'static str,
}

const SIZES: [(u64, u64); 5] = [
    (1080, 1440),
    (1440, 1920),
    (3024, 4032),
    (4284, 5712),
    (1280, 960),
];

/// Returns the images of a note. A video note has one, its cover.
pub fn images(note: &Note, now: i64) -> Vec<Image> {
    let mut dice = note.dice("images");
    let count = if note.is_video() {
        1
    } else {
        dice.tier(&[(30, 1..3), (45, 3..7), (20, 7..10), (5, 10..19)])
    };
    let (width, height) = dice.pick(&SIZES);
    let folder = dice.pick(&["notes_uhdr", "notes_pre_post", "spectrum"]);
    let is_live = !note.is_video() && dice.chance(12);
    (0..count)
        .map(|index| {
            let file = file_id(&mut dice, folder);
            let seconds = dice.between(2, 4);
            Image {
                need_load_original_image: false,
                height,
                width,
                // The provider gives the small address for the first image only.
                url: match index {
                    0 => image_url(&file, 600, now),
                    _ => String::new(),
                },
                url_size_large: image_url(&file, 1440, now),
                original: "",
                trace_id: file.clone(),
                live_photo_file_id: (is_live && index % 3 == 0).then(|| format!("{file}_live")),
                live_photo: (is_live && index % 3 == 0).then(|| LivePhoto {
                    media: media(&mut dice, seconds, now),
                }),
                fileid: file,
            }
        })
        .collect()
}

/// Returns the video of a note; `None` if it is not a video note.
pub fn video_info(note: &Note, now: i64) -> Option<VideoInfo> {
    if !note.is_video() {
        return None;
    }
    let mut dice = note.dice("video");
    let duration = note.video_seconds();
    let frame = file_id(&mut dice, "frame");
    let has_first_frame = note.dice("first frame").chance(25);
    Some(VideoInfo {
        capa: Capa {
            duration,
            frame_ts: 0,
            is_upload: false,
            is_user_select: false,
        },
        consumer: Consumer {
            can_super_resolution: true,
        },
        image: Thumbnail {
            thumbnail: image_url(&frame, 600, now),
            thumbnail_dim: image_url(&frame, 120, now),
            first_frame: has_first_frame.then(|| image_url(&frame, 1080, now)),
        },
        media: media(&mut dice, duration, now),
    })
}

impl Image {
    pub fn large(&self) -> &str {
        &self.url_size_large
    }
}

impl VideoInfo {
    pub fn cover(&self) -> &str {
        &self.image.thumbnail
    }

    pub fn address(&self) -> Option<&str> {
        let first = self.media.stream.h264.first();
        first.map(|stream| stream.master_url.as_str())
    }
}

/// Returns a video with one h264 stream, which every player supports, and more in newer codecs.
/// h266 is rare.
fn media(dice: &mut Dice, seconds: u64, now: i64) -> Media {
    let (width, height) = dice.pick(&[(720, 1280), (1080, 1920), (1920, 1080)]);
    let shape = Shape {
        width,
        height,
        seconds,
    };
    let counts = [
        1,
        dice.between(0, 2),
        u64::from(dice.chance(30)),
        u64::from(dice.chance(5)),
    ];
    let [h264, h265, av1, h266] = ["h264", "hevc", "av1", "vvc"];
    let mut streams = |codec, count| (0..count).map(|_| shape.stream(dice, codec, now)).collect();
    let stream = Streams {
        h264: streams(h264, counts[0]),
        h265: streams(h265, counts[1]),
        av1: streams(av1, counts[2]),
        h266: streams(h266, counts[3]),
    };
    let md5 = dice.hex(32);
    Media {
        video_id: u64::from_str_radix(&md5[..14], 16).expect("hexadecimal digits"),
        user_level: 0,
        stream,
        video: Video {
            width,
            height,
            duration: seconds,
            md5,
        },
    }
}

struct Shape {
    width: u64,
    height: u64,
    seconds: u64,
}

impl Shape {
    fn stream(&self, dice: &mut Dice, codec: &'static str, now: i64) -> Stream {
        let file = format!("stream/1/110/{}/01e{}", dice.below(400), dice.hex(40));
        let address = |host: &str| {
            let signature = signature(&file, now);
            format!("http://{host}.xhscdn.com/{file}_{codec}.mp4?{signature}")
        };
        let avg_bitrate = dice.between(400_000, 2_500_000);
        let duration = self.seconds * 1_000 + dice.below(1_000);
        Stream {
            master_url: address("sns-video-qc"),
            backup_urls: vec![address("sns-bak-v1"), address("sns-bak-v6")],
            width: self.width,
            height: self.height,
            duration,
            size: avg_bitrate * duration / 8_000,
            fps: dice.pick(&[24, 25, 30, 60]),
            video_codec: codec,
            avg_bitrate,
            quality_type: if self.width.min(self.height) < 1_080 {
                "HD"
            } else {
                "FHD"
            },
            hdr_type: 0,
            format: "mp4",
            stream_type: 114,
            stream_desc: "X264_MP4",
            default_stream: 0,
            weight: 62,
            rotate: 0,
            volume: 0,
            sr: 0,
            token: (codec == "hevc").then_some(""),
            audio_bitrate: 128_000,
            audio_channels: 2,
            audio_codec: "aac",
            audio_duration: duration,
            video_bitrate: avg_bitrate - 128_000,
            video_duration: duration,
            psnr: 38.5,
            ssim: 0,
            vmaf: -1,
            opaque1: Opaque {
                use_pcdn: "1",
                pcdn_supplier: "",
            },
        }
    }
}

fn file_id(dice: &mut Dice, folder: &str) -> String {
    const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
    format!("{folder}/1040g3{}", dice.word(LETTERS, 38))
}

fn image_url(file: &str, width: u32, now: i64) -> String {
    let signature = signature(file, now);
    format!(
        "https://sns-na-i8-a.xhscdn.com/{file}?imageView2/2/w/{width}/format/heif/q/56\
         &redImage/frame/0&ap=5&sc=SRH_PRV&{signature}"
    )
}
