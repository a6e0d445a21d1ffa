//! Decides what single words mean to the vetoes: frames, negators, opposites, synonyms, units.
//! Does not look at sentences. English; other languages have no semantic tier yet.

use super::quantity;
use super::token::Quickly;
use crate::text::stem::stem;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// Words that carry no content of their own.
const LIGHT: &str = "\
a an the is am are be was were been being do does did of in on at for to and i me my we our you \
your it its this that these those there here please kindly hi hello hey thanks thank so just \
really actually basically exactly currently simply quickly easily some any also then have has \
had as with by about into what which who whom whose when where why how would could can should \
will may might shall let us want need like know tell say show give explain describe help get \
wonder ask question answer mean meaning way one thing if than \
generally usually typically able go try such properly correctly definition define overview \
information info work happen exist call actual ok okay dear sir assistant";
/// Words that turn a statement round.
const NEGATORS: &str = "\
not no never none nobody nothing nowhere neither nor without except excluding unless hardly \
rarely seldom barely cannot non impossible unable isn ain unlike instead nt";
/// Content that may be missing on one side: praise, and the wish for advice itself.
const WEAK: &str = "good best great recommend suggest advice tip people away";
/// What is possible, allowed or due: `can` is not `must`.
const MODALS: &str = "\
must should may might shall will would could can need ought required optional mandatory allowed \
forbidden always sometimes often ever only all every each most many few several half both either \
least more less fewer enough too very again still already yet before after until since during \
had possible";
/// Words that ask for one kind of thing.
const ASKING: &[&str] = &["why", "when", "where", "who", "whom", "whose", "how"];
/// Negators that belong to the words after them.
const BOUND: &[&str] = &["without", "except", "excluding", "unlike", "no"];
/// Tenses of a verb that carries no content.
const PAST: &[&str] = &["was", "were", "did"];
const PRESENT: &[&str] = &["is", "are", "am", "do", "does", "will"];
/// Pairs of which one word excludes the other.
const OPPOSITES: &str = "\
on/off in/out up/down max/min maximum/minimum maximize/minimize before/after increase/decrease \
with/without can/cannot must/may must/should enable/disable allow/deny allow/forbid \
permit/prohibit open/close start/stop begin/end first/last high/low higher/lower big/small \
large/small hot/cold warm/cool fast/slow early/late old/new young/old long/short tall/short \
wide/narrow thick/thin heavy/light hard/soft hard/easy difficult/easy simple/complex rich/poor \
cheap/expensive good/bad best/worst better/worse right/wrong true/false yes/no and/or all/none \
always/never more/less most/least many/few above/below over/under inside/outside \
internal/external import/export input/output upload/download push/pull read/write encode/decode \
encrypt/decrypt compress/decompress zip/unzip lock/unlock install/uninstall add/remove \
add/delete create/delete create/destroy insert/delete insert/remove attach/detach \
connect/disconnect login/logout mount/unmount show/hide expand/collapse buy/sell lend/borrow \
give/take send/receive give/receive win/lose gain/lose pass/fail accept/reject approve/reject \
include/exclude love/hate like/dislike agree/disagree appear/disappear arrive/depart \
arrival/departure arrive/leave enter/exit enter/leave come/go left/right north/south east/west \
northern/southern eastern/western top/bottom front/back forward/backward ascending/descending \
ascend/descend rise/fall rising/falling grow/shrink positive/negative plus/minus multiply/divide \
odd/even prime/composite public/private male/female man/woman boy/girl husband/wife \
father/mother son/daughter brother/sister uncle/aunt king/queen his/her he/she him/her my/your \
i/you cat/dog day/night morning/evening morning/night summer/winter spring/autumn dry/wet \
clean/dirty full/empty alive/dead birth/death born/die life/death healthy/sick safe/dangerous \
safe/unsafe legal/illegal possible/impossible able/unable known/unknown visible/invisible \
mutable/immutable static/dynamic synchronous/asynchronous sync/async serial/parallel \
local/remote local/global online/offline manual/automatic formal/informal active/passive \
active/inactive optional/required optional/mandatory permanent/temporary fixed/variable \
single/multiple single/double singular/plural unique/duplicate same/different similar/different \
equal/unequal present/absent past/future ancient/modern domestic/foreign import/emit \
supply/demand profit/loss asset/liability debit/credit income/expense gross/net asset/debt \
bull/bear long/brief raw/cooked fresh/stale fresh/frozen sweet/sour sweet/bitter strong/weak \
bright/dark dark/light loud/quiet deep/shallow rough/smooth sharp/dull tight/loose major/minor \
senior/junior expert/beginner teacher/student doctor/patient employer/employee buyer/seller \
landlord/tenant client/server host/guest parent/child ancestor/descendant cause/effect \
question/answer problem/solution attack/defend attack/defense offense/defense war/peace \
friend/enemy ally/enemy victory/defeat hero/villain heaven/hell god/devil solid/liquid \
liquid/gas acid/base acidic/basic conductor/insulator proton/electron anode/cathode \
kinetic/potential convex/concave horizontal/vertical row/column width/height \
numerator/denominator sine/cosine sin/cos integral/derivative integrate/differentiate \
mean/median mean/mode median/mode average/median union/intersection stack/queue push/pop \
enqueue/dequeue head/tail upper/lower uppercase/lowercase prefix/suffix get/set get/post put/get \
request/response commit/revert merge/split join/split merge/rebase deploy/rollback \
upgrade/downgrade update/revert freeze/thaw melt/freeze boil/freeze inflate/deflate \
inhale/exhale push/drag lift/lower raise/lower improve/worsen strengthen/weaken lengthen/shorten \
widen/narrow speed/slow heat/cool remember/forget find/lose save/delete save/spend keep/discard \
keep/remove follow/unfollow subscribe/unsubscribe hire/fire marry/divorce vegan/meat \
vegetarian/vegan advantage/disadvantage pro/con benefit/drawback benefit/risk strength/weakness \
similarity/difference introduce/abolish reward/punish praise/criticize cure/cause treat/cause \
symptom/treatment symptom/cause prevent/cause prevent/treat sit/stand sleep/wake laugh/cry \
whisper/shout arrive/return depart/return lunch/dinner breakfast/dinner breakfast/lunch \
sunrise/sunset today/tomorrow today/yesterday yesterday/tomorrow weekly/daily daily/monthly \
weekly/monthly monthly/yearly weekly/yearly daily/yearly annual/monthly weekday/weekend \
century/decade hour/minute minute/second day/week week/month month/year day/month \
recommended/discouraged necessary/sufficient necessary/unnecessary useful/useless \
guilty/innocent majority/minority maximum/average minimum/average highest/lowest \
largest/smallest biggest/smallest longest/shortest tallest/shortest oldest/newest \
oldest/youngest fastest/slowest cheapest/costliest nearest/farthest earliest/latest \
richest/poorest strongest/weakest hottest/coldest deepest/shallowest greater/smaller \
bigger/smaller larger/smaller taller/shorter longer/shorter older/newer older/younger \
faster/slower hotter/colder heavier/lighter stronger/weaker earlier/later nearer/farther \
richer/poorer cheaper/dearer greater/lesser ceiling/floor ceil/floor lead/lag import/smuggle \
celsius/fahrenheit mile/kilometer pound/kilogram meter/foot inch/centimeter gallon/liter";
/// Words that ask for the same thing. A word of two groups is no bridge between them.
const SYNONYMS: &str = "\
big,large,huge begin,start,commence end,finish buy,purchase fix,repair,resolve,solve \
create,build,construct,generate make,prepare,produce delete,erase picture,photo,image \
car,automobile movie,film kid,child doctor,physician quick,fast,rapid speed,velocity \
often,frequently difference,distinction,differ differ,distinguish benefit,advantage,upside \
drawback,disadvantage,downside reason,cause recommend,suggest choose,pick,select find,locate \
discover,detect change,modify,alter improve,enhance,boost increase,raise \
reduce,lower,decrease,cut convert,transform compute,calculate,determine verify,validate,check \
begin,commence job,occupation phone,telephone,smartphone house,home town,village shop,store \
trip,journey,travel holiday,vacation illness,disease,sickness symptom,sign \
medicine,medication,drug treat,therapy,treatment teach,instruct learn,study student,pupil \
error,mistake,bug method,approach,technique function,procedure list,enumerate \
summary,summarize,summarise,recap example,sample,instance important,significant,crucial,key \
main,primary,principal common,usual,frequent famous,well-known,renowned author,writer \
write,compose wrote,authored inventor,invented,invent largest,biggest smallest,tiniest \
happy,glad,cheerful sad,unhappy scared,afraid angry,mad smart,intelligent,clever funny,humorous \
beautiful,pretty dangerous,hazardous,risky safe,secure easy,simple,straightforward \
hard,difficult,tough cheap,affordable,inexpensive expensive,costly price,cost,fee \
pay,salary,wage money,cash company,firm,corporation boss,supervisor worker,employee \
meeting,conference city,metropolis country,nation population,inhabitants,inhabitant,resident \
leader,head president,potus war,conflict earth,globe sea,ocean hometown,birthplace born,birth \
die,death pass,decease food,meal recipe,dish cook,bake weight,mass height,elevation deep,depth \
far,distance,distant long,length,lengthy old,age wide,width tall,height operate,function \
operating,running delete,remove,eliminate directory,folder file,document \
program,application,app,software database,db repository,repo javascript,js typescript,ts \
kubernetes,k8s postgres,postgresql configuration,config,configure environment,env variable,var \
parameter,argument,param authentication,auth login,signin,sign-in,logon website,webpage,site \
internet,web email,e-mail,mail laptop,notebook computer,pc screen,display,monitor \
keyboard,keypad usa,us,america,u.s,u.s.a uk,britain,u.k bike,bicycle \
plane,airplane,aircraft,aeroplane subway,metro,underground elevator,lift apartment,flat \
trash,garbage,rubbish gas,petrol,gasoline soccer,football candy,sweets sofa,couch tv,television \
fridge,refrigerator autumn,fall grandma,grandmother grandpa,grandfather mom,mother,mum,mommy \
dad,father,daddy advice,tip,suggestion guide,tutorial,walkthrough step,stage task,chore \
aim,goal,objective purpose,point idea,concept,notion principle,rule law,legislation proof,prove \
evidence,proof result,outcome,consequence effect,impact,influence chance,probability,likelihood \
amount,quantity number,count total,sum average,mean part,component,portion \
kind,type,sort,category group,set obtain,acquire,gain receive,acquire own,possess require,need \
allow,permit,let forbid,ban,prohibit help,assist,aid try,attempt wait,await return,send \
respond,reply rotate,spin sort,order arrange,order reverse,invert combine,merge,join \
split,divide,separate copy,duplicate,clone move,relocate install,setup launch,start \
terminate,kill,quit stop,halt,cease crash,hang slow,sluggish delay,lag limit,cap restrict,limit \
clean,wash tidy,clean tired,exhausted,fatigued insomnia,sleepless diet,nutrition \
exercise,workout slim,thin fat,obese heal,recover,recovery pain,ache hurt,ache stomach,belly \
rabbit,bunny dog,canine cat,feline cow,cattle forest,woods stone,rock road,street river,stream \
lake,pond mountain,mount weather,climate rain,rainfall storm,tempest sun,solar moon,lunar \
star,stellar plant,vegetation tree,wood flower,blossom seed,kernel farmer,grower grow,cultivate \
raise,rear feed,nourish water,h2o salt,nacl sugar,sucrose capital,capitol currency,money-unit \
language,tongue vocabulary,lexicon translate,render interpret,explain essay,composition \
letter,epistle poem,verse,poetry novel,book story,tale joke,gag title,heading name,title \
rename,retitle remember,recall forget,misplace think,believe guess,estimate approximate,estimate \
suppose,assume compare,contrast versus,vs correct,accurate,right wrong,incorrect,false \
true,valid whole,entire,complete empty,blank vacant,empty near,close nearest,closest nearby,near \
far,remote quiet,silent loud,noisy strange,weird,odd unusual,rare normal,ordinary,typical \
latest,newest,recent current,present former,previous annual,yearly daily,everyday nowadays,today \
contemporary,modern antique,ancient period,era,epoch color,colour flavor,flavour \
behavior,behaviour favorite,favourite neighbor,neighbour honor,honour labor,labour center,centre \
theater,theatre gray,grey license,licence defense,defence organize,organise analyze,analyse \
realize,realise apologize,apologise optimize,optimise program,programme tire,tyre \
aluminum,aluminium make,create,build stop,quit";
/// Spellings of one unit.
const UNITS: &str = "\
kg,kilogram,kilo,kilogramme g,gram,gramme mg,milligram t,ton,tonne lb,pound,lbs oz,ounce \
m,meter,metre km,kilometer,kilometre cm,centimeter,centimetre mm,millimeter,millimetre mi,mile \
ft,foot in,inch yd,yard l,liter,litre ml,milliliter,millilitre gal,gallon s,sec,second \
ms,millisecond us,microsecond ns,nanosecond min,minute h,hr,hour d,day wk,week mo,month \
y,yr,year b,byte kb,kilobyte mb,megabyte gb,gigabyte tb,terabyte kib mib gib bit mbps gbps \
hz,hertz khz mhz ghz v,volt a,amp,ampere w,watt kw,kilowatt kwh j,joule cal,calorie \
kcal,kilocalorie n,newton pa,pascal c,°c,celsius f,°f,fahrenheit k,kelvin mph kph,kmh,km/h \
usd,dollar,$,buck eur,euro,€ gbp,£,quid,sterling jpy,yen,¥ inr,rupee cny,yuan,rmb cent \
%,percent,pct,percentage degree,° acre hectare,ha sqft px,pixel point,pt dozen person,people";

pub(super) fn asking(folded: &str) -> Option<&'static str> {
    ASKING.iter().find(|word| **word == folded).copied()
}

pub(super) fn is_bound(folded: &str) -> bool {
    BOUND.contains(&folded)
}

pub(super) fn is_past(folded: &str) -> bool {
    PAST.contains(&folded)
}

pub(super) fn is_present(folded: &str) -> bool {
    PRESENT.contains(&folded)
}

/// What the lists say of a stem.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) light: bool,
    pub(super) weak: bool,
    /// The number that opposites know it by.
    pub(super) number: Option<u16>,
    pub(super) opposites: Vec<u16>,
    /// Numbers of the groups of synonyms it is of.
    pub(super) groups: Vec<u16>,
}

/// Tables made from the lists above, once.
pub(super) struct Lexicon {
    facts: HashMap<String, Facts, Quickly>,
    unknown: Facts,
    negators: HashSet<&'static str, Quickly>,
    modals: HashSet<&'static str, Quickly>,
    units: HashMap<&'static str, &'static str, Quickly>,
    /// Words that a number, a date or an ordinal may begin with.
    counting: HashSet<&'static str, Quickly>,
}

/// The one lexicon.
pub(super) fn lexicon() -> &'static Lexicon {
    static LEXICON: OnceLock<Lexicon> = OnceLock::new();
    LEXICON.get_or_init(Lexicon::read)
}

impl Lexicon {
    fn read() -> Self {
        let mut facts: HashMap<String, Facts, Quickly> = HashMap::default();
        let mut each = |list: &'static str, mark: fn(&mut Facts)| {
            for word in list.split_whitespace() {
                mark(facts.entry(stem(word).into_owned()).or_default());
            }
        };
        each(LIGHT, |facts| facts.light = true);
        each(WEAK, |facts| facts.weak = true);
        for (number, group) in (0..).zip(SYNONYMS.split_whitespace()) {
            for word in group.split(',') {
                facts.entry(stem(word).into_owned()).or_default().groups.push(number);
            }
        }
        let mut numbers = 0..;
        for (a, b) in OPPOSITES.split_whitespace().filter_map(|pair| pair.split_once('/')) {
            let [a, b] = [stem(a), stem(b)].map(std::borrow::Cow::into_owned);
            let mut number = |word: &str| {
                let own = facts.entry(word.to_owned()).or_default();
                own.number = own.number.or_else(|| numbers.next());
                own.number
            };
            let [at, other] = [number(&a), number(&b)];
            for (word, opposite) in [(a, other), (b, at)] {
                facts.entry(word).or_default().opposites.extend(opposite);
            }
        }
        let spelled = |group: &'static str| {
            let first = group.split(',').next().unwrap_or(group);
            group.split(',').map(move |spelling| (spelling, first))
        };
        Self {
            facts,
            unknown: Facts::default(),
            negators: NEGATORS.split_whitespace().collect(),
            modals: MODALS.split_whitespace().collect(),
            units: UNITS.split_whitespace().flat_map(spelled).collect(),
            counting: quantity::counting().collect(),
        }
    }

    pub(super) fn facts(&self, stem: &str) -> &Facts {
        self.facts.get(stem).unwrap_or(&self.unknown)
    }

    pub(super) fn is_negator(&self, folded: &str) -> bool {
        self.negators.contains(folded)
    }

    pub(super) fn is_modal(&self, folded: &str) -> bool {
        self.modals.contains(folded)
    }

    pub(super) fn counts(&self, folded: &str) -> bool {
        self.counting.contains(folded)
    }

    /// The unit's one spelling.
    pub(super) fn unit(&self, word: &str) -> Option<&'static str> {
        let known = self.units.get(word);
        known.or_else(|| self.units.get(word.strip_suffix('s')?)).copied()
    }
}
