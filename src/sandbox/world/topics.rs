//! The topics of the notes in the world.

/// A topic that users search for.
#[derive(Debug)]
pub struct Topic {
    pub name: &'static str,
    pub field: Field,
}

/// The field of a topic; it selects the words that a note uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Beauty,
    Food,
    Outdoor,
    Fashion,
    Home,
}

const fn topic(name: &'static str, field: Field) -> Topic {
    Topic { name, field }
}

/// The index is part of every id: add new topics at the end.
pub const TOPICS: [Topic; 40] = [
    topic("海蓝之谜", Field::Beauty),
    topic("兰蔻", Field::Beauty),
    topic("雅诗兰黛", Field::Beauty),
    topic("珀莱雅", Field::Beauty),
    topic("薇诺娜", Field::Beauty),
    topic("修丽可", Field::Beauty),
    topic("赫莲娜", Field::Beauty),
    topic("资生堂", Field::Beauty),
    topic("理肤泉", Field::Beauty),
    topic("敏感肌", Field::Beauty),
    topic("早C晚A", Field::Beauty),
    topic("防晒", Field::Beauty),
    topic("抗老", Field::Beauty),
    topic("油皮护肤", Field::Beauty),
    topic("干皮护肤", Field::Beauty),
    topic("成分党", Field::Beauty),
    topic("面霜", Field::Beauty),
    topic("精华", Field::Beauty),
    topic("底妆", Field::Beauty),
    topic("口红试色", Field::Beauty),
    topic("咖啡", Field::Food),
    topic("减脂餐", Field::Food),
    topic("早餐", Field::Food),
    topic("空气炸锅", Field::Food),
    topic("烘焙", Field::Food),
    topic("上海探店", Field::Food),
    topic("露营", Field::Outdoor),
    topic("徒步", Field::Outdoor),
    topic("骑行", Field::Outdoor),
    topic("周末去哪儿", Field::Outdoor),
    topic("城市漫步", Field::Outdoor),
    topic("滑雪", Field::Outdoor),
    topic("通勤穿搭", Field::Fashion),
    topic("小个子穿搭", Field::Fashion),
    topic("显瘦穿搭", Field::Fashion),
    topic("包包推荐", Field::Fashion),
    topic("家居收纳", Field::Home),
    topic("扫地机器人", Field::Home),
    topic("小户型装修", Field::Home),
    topic("租房改造", Field::Home),
];
