//! Topics, and the word lists that notes on them are composed from. In a phrase, `{topic}`,
//! `{thing}`, `{scene}`, `{praise}`, `{emoji}` and `{n}` stand for a word from one of the lists, or a
//! number.

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

/// The words of one field.
pub struct Words {
    pub things: &'static [&'static str],
    pub scenes: &'static [&'static str],
    pub praise: &'static [&'static str],
    pub tags: &'static [&'static str],
}

pub fn words(field: Field) -> &'static Words {
    match field {
        Field::Beauty => &BEAUTY,
        Field::Food => &FOOD,
        Field::Outdoor => &OUTDOOR,
        Field::Fashion => &FASHION,
        Field::Home => &HOME,
    }
}

const BEAUTY: Words = Words {
    things: &[
        "面霜",
        "精华",
        "洁面",
        "化妆水",
        "眼霜",
        "防晒霜",
        "修护面膜",
        "A醇精华",
        "VC精华",
        "次抛",
        "隔离",
        "粉底液",
    ],
    scenes: &[
        "换季泛红",
        "熬夜加班后",
        "油皮夏天",
        "干皮冬天",
        "早C晚A入门",
        "学生党预算",
        "医美术后",
        "空调房一整天",
    ],
    praise: &[
        "真的稳",
        "不搓泥",
        "吸收很快",
        "第二天上妆很服帖",
        "泛红退得明显",
        "性价比在线",
        "有点被惊艳到",
        "无功无过",
    ],
    tags: &[
        "护肤",
        "护肤分享",
        "成分党",
        "敏感肌护肤",
        "空瓶记",
        "平价护肤",
        "屏障修护",
        "好物分享",
    ],
};

const FOOD: Words = Words {
    things: &[
        "拿铁",
        "手冲",
        "鸡胸肉",
        "全麦三明治",
        "燕麦碗",
        "巴斯克",
        "司康",
        "番茄虾仁",
        "贝果",
        "冷萃",
    ],
    scenes: &[
        "上班前十分钟",
        "周日备餐",
        "下午三点犯困时",
        "一个人吃饭",
        "朋友来家里",
        "减脂期嘴馋",
    ],
    praise: &[
        "好吃到跺脚",
        "零失败",
        "热量不到{n}大卡",
        "比店里的还香",
        "连吃一周都不腻",
        "新手友好",
    ],
    tags: &[
        "美食日常",
        "减脂打卡",
        "一人食",
        "探店",
        "我的咖啡日记",
        "懒人食谱",
        "好物分享",
    ],
};

const OUTDOOR: Words = Words {
    things: &[
        "天幕",
        "折叠椅",
        "徒步鞋",
        "冲锋衣",
        "保温壶",
        "登山杖",
        "公路车",
        "地图路线",
    ],
    scenes: &[
        "周末两天一夜",
        "带娃出门",
        "新手第一次",
        "雨后",
        "不开车也能到",
        "人少的工作日",
    ],
    praise: &[
        "风景绝了",
        "全程不累",
        "出片率很高",
        "来回只要{n}公里",
        "装备不用多",
        "值得专程去",
    ],
    tags: &[
        "户外",
        "露营日记",
        "周末去哪儿",
        "徒步路线",
        "装备分享",
        "走进大自然",
    ],
};

const FASHION: Words = Words {
    things: &[
        "西装外套",
        "直筒裤",
        "针织开衫",
        "风衣",
        "衬衫",
        "托特包",
        "乐福鞋",
        "半身裙",
    ],
    scenes: &[
        "通勤一周不重样",
        "梨形身材",
        "面试当天",
        "早春温差大",
        "155小个子",
        "见客户",
    ],
    praise: &[
        "显高显瘦",
        "怎么搭都不出错",
        "面料有垂感",
        "洗了{n}次没变形",
        "很有精神",
        "同事都来问链接",
    ],
    tags: &["穿搭", "ootd", "通勤穿搭", "每日穿搭", "一衣多穿", "显瘦"],
};

const HOME: Words = Words {
    things: &[
        "收纳盒",
        "洞洞板",
        "抽屉分隔",
        "洗地机",
        "扫拖机器人",
        "置物架",
        "遮光窗帘",
        "落地灯",
    ],
    scenes: &[
        "租房预算不多",
        "小户型",
        "厨房台面",
        "玄关乱糟糟",
        "有猫的家",
        "换季整理",
    ],
    praise: &[
        "多出一倍空间",
        "打扫省一半时间",
        "装了{n}天没有后悔",
        "免打孔",
        "颜值和实用都有",
        "早该买了",
    ],
    tags: &[
        "家居好物",
        "收纳",
        "我的理想家",
        "租房改造",
        "居家生活",
        "沉浸式整理",
    ],
};

pub const TITLES: &[&str] = &[
    "{topic}|{scene}{praise}{emoji}",
    "{scene}，我只留了这{n}样",
    "关于{topic}，说点真话",
    "{n}天实测：{thing}{praise}‼️",
    "{topic}新手看这一篇就够了{emoji}",
    "被问了{n}遍的{thing}，今天一次说清",
    "《{topic}避坑指南》{scene}篇",
    "“{scene}”也能{praise}？",
    "{emoji}{topic}·{thing}合集",
];

pub const SENTENCES: &[&str] = &[
    "{scene}我会用{thing}，{praise}。",
    "用了{n}天{thing}，结论先说：{praise}！",
    "{emoji}{thing}：{praise}，但不是人人都适合~",
    "姐妹问我“{thing}到底值不值”，我的回答是：{praise}。",
    "之前踩过的坑：只看便宜，结果{scene}完全不行😅",
    "价格 ¥{n}/件，A&B 两款都试过，差别 < 10%。",
    "关于{topic}，网上说法很多，我按自己的情况来，{praise}。",
    "配方表/参数我放在图{n}了，自己看\"前五位\"就行。",
    "没有广告，自己花钱买的；{thing}{praise}。",
    "{scene}的时候，{thing}和{topic}是绝配{emoji}{emoji}",
];

pub const CLOSINGS: &[&str] = &[
    "你们还想看什么？评论区告诉我👇",
    "有问题留言，看到都会回~",
    "先收藏，别等用到时找不到。",
    "下期更{thing}，记得来。",
];

pub const EMOJI: &[&str] = &[
    "✨",
    "🔥",
    "😭",
    "🥹",
    "🌿",
    "☕️",
    "🏕️",
    "👩🏻‍💻",
    "💯",
    "❗️",
    "🫧",
    "🧴",
];

/// An unassigned number from China's examples of phone numbers.
pub const CONTACT: &str = "合作/预约请打 13800138000(微信同号)";

pub const NAME_STARTS: &[&str] = &[
    "阿",
    "小",
    "大",
    "一颗",
    "爱吃",
    "慢慢",
    "是",
    "圆滚滚",
    "今天也",
    "北方",
    "半糖",
];

pub const NAME_CORES: &[&str] = &[
    "柚子", "桃桃", "栗子", "可可", "南瓜", "豆包", "芝麻", "薄荷", "海盐", "年糕", "云朵", "鲸鱼",
];

pub const NAME_ENDS: &[&str] = &[
    "",
    "",
    "呀",
    "的日常",
    "爱护肤",
    "在上海",
    "同学",
    "_Lab",
    "🌸",
    "不熬夜",
    "研究所",
    "Official",
];

pub const TRADES: &[&str] = &[
    "护肤博主",
    "服装配饰店",
    "美食博主",
    "家居博主",
    "旅行博主",
    "咖啡馆",
];

/// Places by name, latitude and longitude.
pub const PLACES: &[(&str, f64, f64)] = &[
    ("上海", 31.2304, 121.4737),
    ("北京", 39.9042, 116.4074),
    ("广州", 23.1291, 113.2644),
    ("成都", 30.5728, 104.0668),
    ("杭州·西湖", 30.2431, 120.1503),
    ("厦门·鼓浪屿", 24.4474, 118.0665),
    ("西安", 34.3416, 108.9398),
    ("香港", 22.3193, 114.1694),
];
