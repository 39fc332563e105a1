// Events to JSON lines, and accounts. Everything fixed is a ready piece; nothing is allocated per
// record once a worker's buffers have grown.
#include <algorithm>
#include <cmath>

#include "base/str.h"
#include "base/time.h"
#include "simulate/refs.h"
#include "simulate/world.h"

namespace stillwatch::simulate {
namespace {

using base::kMsPerDay;
using base::StrAppend;
using base::StrCat;

constexpr std::string_view kTemperatures[] = {"",
                                              ",\"temperature\":0",
                                              ",\"temperature\":0.1",
                                              ",\"temperature\":0.2",
                                              ",\"temperature\":0.3",
                                              ",\"temperature\":0.5",
                                              ",\"temperature\":0.7",
                                              ",\"temperature\":0.8",
                                              ",\"temperature\":1"};
constexpr std::string_view kTopPs[] = {"", ",\"top_p\":0.9", ",\"top_p\":0.95", ",\"top_p\":1"};
constexpr std::string_view kMaxTokens[] = {"",
                                           ",\"max_tokens\":256",
                                           ",\"max_tokens\":512",
                                           ",\"max_tokens\":1024",
                                           ",\"max_tokens\":2048",
                                           ",\"max_tokens\":4096",
                                           ",\"max_tokens\":8192",
                                           ",\"max_tokens\":16000",
                                           ",\"max_tokens\":32000",
                                           ",\"max_tokens\":64000"};
constexpr uint32_t kPublicItems = 1500;  // of a published benchmark
constexpr double kCopied = .04;         // of people's sessions begin with a prompt that goes around
constexpr double kCopiedPrompts = 400;  // few of them are popular

void PutTwo(uint32_t n, char* to) {
  to[0] = static_cast<char>('0' + n / 10);
  to[1] = static_cast<char>('0' + n % 10);
}

void PutIp(uint32_t ip, Text* out) {
  out->Room(24);
  for (int shift = 24; shift >= 0; shift -= 8) {
    out->PutNumber(ip >> shift & 255);
    if (shift > 0) out->Put('.');
  }
}

// Somebody's topic, language and kind of ask for one session.
struct Theme {
  int language = 0;
  uint32_t topic = 0;
  uint8_t ask = 0;
};

int Status(uint64_t seed, uint64_t uid) {
  const double u = Rng(Key(seed, 0x57a7, uid)).Unit();
  return u < .968 ? 200 : u < .982 ? 429 : u < .988 ? 500 : u < .994 ? 529 : u < .998 ? 400 : 408;
}

uint64_t Signature(uint64_t seed, uint64_t uid) {
  return base::Mix64(uid ^ base::Mix64(seed ^ 0x5169));
}

}  // namespace

std::string OwnDomain(uint64_t key) {
  constexpr std::string_view kA[] = {"ba", "den", "fi",  "gor", "hal", "jo",  "ka", "lum", "mer",
                                     "no", "pel", "qua", "ri",  "san", "tor", "vi", "wex", "zan"};
  constexpr std::string_view kB[] = {"bra", "cor", "dex", "fin", "gen", "lo", "mat",
                                     "nix", "pol", "ra",  "sys", "tec", "va", "wave"};
  constexpr std::string_view kEnd[] = {".com", ".com", ".com", ".io", ".dev",
                                       ".net", ".ai",  ".co",  ".de", ".tech"};
  Rng r(key);
  std::string s(kA[r.Below(18)]);
  s += kB[r.Below(14)];
  if (r.Chance(.5)) s += kA[r.Below(18)];
  if (r.Chance(.4)) s += std::to_string(r.Below(100));
  s += kEnd[r.Below(10)];
  return s;
}

// One worker's writing of one block.
class World::Writer {
 public:
  Writer(const World& world, const DayPlan& plan, Scratch* scratch, Text* out, Text* truth)
      : w_(world),
        g_(world.grammar_),
        scratch_(scratch),
        out_(*out),
        truth_(*truth),
        day_ms_(world.scenario_.start_ms + plan.day * kMsPerDay) {
    const std::string date = base::FormatRfc3339(day_ms_),
                      before = base::FormatRfc3339(day_ms_ - kMsPerDay);
    date.copy(date_[1], 11);
    before.copy(date_[0], 11);
  }

  void Record(const Event& e) {
    const Person& p = w_.people_[e.account];
    const uint64_t uid = UidOf(e.account, e.ref);
    const int64_t ms =
        int64_t{e.at} - LogDelay(w_.seed_, uid);  // of the day; below 0: logged after midnight
    const int64_t ts = day_ms_ + ms;
    const RefType type = TypeOf(e.ref);
    const uint32_t turn = static_cast<uint32_t>(e.ref & 31);
    Rng r(Key(w_.seed_, 0x2ec, uid));
    const Job* job = nullptr;
    const CampaignSpec* spec = nullptr;
    uint64_t session = 0;
    const Manner* manner = &p.manner;
    uint32_t client = p.manner.client;
    int model = 0;
    uint32_t customer = 0;
    uint16_t which = static_cast<uint16_t>(e.ref >> 46 & 0xffff);
    Manner of_customer;
    switch (type) {
      case RefType::kInnocent:
        session = Key(p.key, e.ref >> 5);
        model = w_.ModelAt(p, *manner, ts);
        break;
      case RefType::kHarvest: {
        job = &w_.jobs_[which];
        spec = &w_.scenario_.campaigns[which];
        session = Key(job->key, 0x5e55, e.ref >> 5);
        if (!spec->own_manner || p.pool == kNone16 || !w_.OperatorOf(p).size()) {
          manner = &job->manners[p.key % static_cast<uint64_t>(job->manner_count)];
          client = manner->client;
        }
        model = w_.ModelAt(w_.people_[w_.pools_[job->pools[0]].first], *manner, ts);
        if (spec->pivot_share > 0) {
          model = w_.base_models_[manner->model];
          for (size_t i = 0; i < w_.scenario_.models.size(); ++i) {
            const int64_t released = w_.scenario_.models[i].released_ms;
            if (released == 0 || ts < released) continue;
            const double since = static_cast<double>(ts - released) / double{base::kMsPerHour};
            if (r.Chance(spec->pivot_share * std::min(1., since / spec->pivot_hours)))
              model = static_cast<int>(i);
          }
        } else if (spec->own_manner) {
          model = w_.ModelAt(p, *manner, ts);
        }
        break;
      }
      case RefType::kCustomer: {
        const Pool& pool = w_.pools_[which];
        const int day = static_cast<int>(e.ref >> 37 & 511);
        customer =
            CustomerOf(w_.seed_, which, day, static_cast<uint32_t>(e.ref >> 5), pool.customers);
        session = Key(Key(w_.seed_ ^ 0xc059, which), e.ref >> 5);
        Rng of(Key(w_.seed_ ^ 0xc05a, which, customer));
        of_customer = w_.DrawManner(&of, false);
        of_customer.keys = p.manner.keys;
        manner = &of_customer;
        // A relay talks to the provider with its own program.
        client = w_.scenario_.pools[which].own_hours ? p.manner.client : pool.manner.client;
        model = w_.ModelAt(p, *manner, ts);
        break;
      }
    }

    out_.Room(1024);
    out_.Put("{\"exchange_id\":\"x_");
    out_.PutHex(base::Mix64(uid ^ base::Mix64(w_.seed_ ^ 0xe1d)), 16);
    out_.Put("\",\"ts\":\"");
    PutTime(ms);
    out_.Put("\",\"account_id\":\"");
    w_.PutAccountId(e.account, &out_);
    PutOrg(e.account, p);
    const KindInfo& kind = Kinds()[p.kind];
    if (!kind.web) {
      out_.Put(",\"api_key_id\":\"key_");
      out_.PutHex(Key(p.key, 0x2e4, r.Below(manner->keys)) >> 16, 12);
      out_.Put('"');
    }
    if (manner->sessions) {
      out_.Put(",\"session_id\":\"s_");
      out_.PutHex(base::Mix64(session), 16);
      out_.Put('"');
    }
    out_.Put(kind.web           ? ",\"channel\":\"web\""
             : p.key >> 59 == 1 ? ",\"channel\":\"cloud:north\""
             : p.key >> 59 == 2 ? ",\"channel\":\"cloud:delta\""
                                : ",\"channel\":\"api\"");
    out_.Put(w_.model_parts_[static_cast<size_t>(model)]);
    out_.Put(",\"messages\":[");
    bool system = false;
    const size_t messages = out_.size();
    switch (type) {
      case RefType::kInnocent:
        system = Innocent(p, e.ref, session, turn, manner);
        break;
      case RefType::kHarvest:
        system = Harvest(*job, *spec, e.ref >> 5 & 0x1ffffffffffULL, session, turn);
        break;
      case RefType::kCustomer:
        system = Customer(which, customer, session, turn);
        break;
    }
    out_.Put(']');
    const uint32_t input = Tokens(out_.size() - messages);
    const int status = Status(w_.seed_, uid);
    uint32_t output = 0, reasoning = 0;
    if (status == 200) {
      out_.Put(",\"response\":\"");
      const size_t before = out_.size();
      Answer(turn, session);
      output = Tokens(out_.size() - before);
      out_.Put('"');
    }
    if (manner->thinking && status == 200) {
      reasoning = static_cast<uint32_t>(120 * r.LogNormal(1) * (1 + output / 150.));
      output += reasoning;
    }
    Number(",\"input_tokens\":", input);
    if (status == 200) Number(",\"output_tokens\":", output);
    if (reasoning > 0) Number(",\"reasoning_tokens\":", reasoning);
    if ((system || turn > 0) && input > 200 && (p.key >> 21 & 3) == 0)
      Number(",\"cached_tokens\":", input / 64 * 40);
    out_.Put(kTemperatures[manner->temperature]);
    out_.Put(kTopPs[manner->top_p]);
    out_.Put(kMaxTokens[manner->max_tokens]);
    if (manner->tools > 0)
      Tools(p,
            type == RefType::kHarvest    ? job->key
            : type == RefType::kCustomer ? Key(which, customer)
                                         : p.key,
            manner->tools);
    out_.Put(manner->stream ? ",\"stream\":true" : ",\"stream\":false");
    Number(",\"status\":", static_cast<uint64_t>(status));
    out_.Put(",\"client_ip\":\"");
    const uint64_t draw = Key(uid, 0x1b);
    if (type == RefType::kHarvest && w_.pools_[p.pool].victims > 0 && w_.OperatorOf(p).empty()) {
      const auto& exits = w_.pools_[p.pool].exits;  // a stolen key is used from the thief's place
      PutIp(exits[draw % exits.size()], &out_);
    } else {
      PutIp(w_.Address(p, ts, manner->sessions ? Key(session, 0x1b) : draw), &out_);
    }
    out_.Put('"');
    out_.Put(w_.catalogue_->clients[client]);
    Number(",\"latency_ms\":",
           static_cast<uint64_t>((250 + (status == 200 ? output * 14. : 0)) * r.LogNormal(.4)));
    if (manner->thinking) {
      if (status == 200) {
        out_.Put(",\"reasoning_signatures_issued\":[\"sig_");
        out_.PutHex(Signature(w_.seed_, uid), 16);
        out_.Put("\"]");
      }
      uint64_t presented = 0;
      if (turn > 0) {
        presented = uid - 1;
      } else if (type == RefType::kHarvest && spec->replay > 0) {
        const uint64_t k = e.ref >> 5 & 0x1ffffffffffULL;
        const uint64_t back = 1 + r.Below(400);
        if (r.Chance(spec->replay) && k >= job->probes + back)
          presented = HarvestRef(which, k - back, 0);
      }
      if (presented != 0 && Status(w_.seed_, presented) == 200) {
        out_.Put(",\"reasoning_signatures_presented\":[\"sig_");
        out_.PutHex(Signature(w_.seed_, presented), 16);
        out_.Put("\"]");
      }
    }
    out_.Put("}\n");
    if (type == RefType::kHarvest) {
      truth_.Put("x_");
      truth_.PutHex(base::Mix64(uid ^ base::Mix64(w_.seed_ ^ 0xe1d)), 16);
      truth_.Put(',');
      truth_.Put(spec->name);
      truth_.Put('\n');
    }
  }

 private:
  void Number(std::string_view key, uint64_t n) {
    out_.Put(key);
    out_.PutNumber(n);
  }
  static uint32_t Tokens(size_t bytes) { return static_cast<uint32_t>(3 + bytes * 10 / 43); }

  void PutTime(int64_t ms) {
    const char* date = date_[1];
    if (ms < 0) {
      ms += kMsPerDay;
      date = date_[0];
    }
    const uint32_t n = static_cast<uint32_t>(ms);
    char* to = out_.end();
    std::memcpy(to, date, 11);
    PutTwo(n / 3'600'000, to + 11);
    to[13] = to[16] = ':';
    PutTwo(n / 60'000 % 60, to + 14);
    PutTwo(n / 1000 % 60, to + 17);
    to[19] = '.';
    to[20] = static_cast<char>('0' + n % 1000 / 100);
    PutTwo(n % 100, to + 21);
    to[23] = 'Z';
    out_.Advance(24);
  }

  void PutOrg(uint32_t account, const Person& p) {
    const uint64_t org = w_.OrgOf(account, p);
    if (org == 0) {
      out_.Put('"');
      return;
    }
    out_.Put("\",\"org_id\":\"org_");
    out_.PutHex(org >> 16, 12);
    out_.Put('"');
  }

  // --- messages

  void Open(std::string_view role) {
    if (out_.data()[out_.size() - 1] != '[') out_.Put(',');
    out_.Put("{\"role\":\"");
    out_.Put(role);
    out_.Put("\",\"content\":\"");
  }
  void Close() { out_.Put("\"}"); }

  void Expand(Grammar::Symbol symbol, uint32_t topic, uint64_t key) {
    Rng r(key);
    g_.Expand(symbol, topic, &r, &out_);
  }

  // A payload: from the user's file of prompts, where there is one.
  void Ask(const Theme& t, uint64_t key) {
    Rng r(key);
    if (!w_.prompts_.empty() && t.ask != static_cast<uint8_t>(Ask::kHarness) &&
        t.ask != static_cast<uint8_t>(Ask::kCase)) {
      out_.Put(w_.prompts_[r.Below(static_cast<uint32_t>(w_.prompts_.size()))]);
      return;
    }
    g_.Expand(w_.ask_symbols_[t.ask][static_cast<size_t>(t.language)], t.topic, &r, &out_);
  }

  Theme ThemeOf(const Person& p, Rng* r) const {
    Theme t;
    const auto& asks = w_.kind_asks_[p.kind];
    t.ask =
        r->Chance(.7) ? p.asks[r->Below(3)] : asks[r->Below(static_cast<uint32_t>(asks.size()))];
    t.topic = r->Chance(.65) ? p.topics[r->Below(3)] : r->Below(g_.topics());
    t.language = r->Chance(.92) ? p.language : 0;
    return t;
  }

  // Earlier turns and this one. `first` writes the first turn's text.
  template <typename F>
  void Talk(const Theme& t, uint64_t session, uint32_t turn, F&& first) {
    theme_ = t;
    for (uint32_t i = 0; i <= turn; ++i) {
      Open("user");
      if (i == 0) {
        first();
      } else {
        const bool harness = t.ask == static_cast<uint8_t>(simulate::Ask::kHarness);
        Expand(harness ? w_.ask_symbols_[t.ask][0] : w_.other_[0][static_cast<size_t>(t.language)],
               t.topic, Key(session, 0xa5, i));
      }
      Close();
      if (i == turn) break;
      Open("assistant");
      Answer(i, session);
      Close();
    }
  }

  // What the model says in turn `turn`; set up by whoever wrote the turn.
  void Answer(uint32_t turn, uint64_t session) {
    Rng r(Key(session, 0xa6, turn));
    const bool general = answer_ == w_.other_[1][0];
    if (theme_.language != 0 && general) {
      const uint32_t n = 2 + r.Below(6);
      for (uint32_t i = 0; i < n; ++i) {
        if (i > 0 && theme_.language != kChinese) out_.Put(' ');
        g_.Expand(w_.other_[1][static_cast<size_t>(theme_.language)], theme_.topic, &r, &out_);
      }
      return;
    }
    g_.Expand(answer_, theme_.topic, &r, &out_);
  }

  // A form around an item, each expanded from its own key.
  template <typename F>
  void Form(Grammar::Symbol form, uint32_t topic, uint64_t key, F&& item) {
    Text& s = scratch_->form;
    s.clear();
    Rng r(key);
    g_.Expand(form, topic, &r, &s);
    const std::string_view text = s.view();
    const size_t mark = std::min(text.find(kItemMark), text.size());
    out_.Put(text.substr(0, mark));
    item();
    if (mark < text.size()) out_.Put(text.substr(mark + 1));
  }

  bool Innocent(const Person& p, uint64_t ref, uint64_t session, uint32_t turn,
                const Manner* manner) {
    const KindInfo& kind = Kinds()[p.kind];
    Rng r(session);
    Theme t = ThemeOf(p, &r);
    answer_ = w_.answer_of_[t.ask];
    const uint32_t number = static_cast<uint32_t>(ref >> 5 & 0x3ffff);
    const int day = static_cast<int>(ref >> 23 & 511);
    const auto item = [&] { Ask(t, Key(session, 0xa4)); };
    const auto bench = [&] {  // an item of the published benchmark
      const uint32_t i = std::min(r.Below(kPublicItems), r.Below(kPublicItems));
      t.topic = i % g_.topics();
      t.language = 0;
      Ask(t, Key(w_.seed_, 0xbe2c, i));
    };
    switch (kind.frame) {
      case Frame::kPlain:
      case Frame::kAccountForm: {
        bool system = false;
        if (p.systems > 0 && r.Chance(.7)) {
          Open("system");
          Expand(w_.Symbol(kOwnSystem), p.topics[0], Key(p.key, 0x5e, r.Below(p.systems)));
          Close();
          system = true;
        }
        if (kind.habit == Habit::kService) {  // many people behind one account
          t.language = DrawLanguage(&r);
          t.topic = r.Below(g_.topics());
        }
        if (p.form > 0 && r.Chance(.8)) {
          const uint64_t form = Key(p.key, 0xf0, r.Below(p.form));
          if (t.ask != static_cast<uint8_t>(simulate::Ask::kGeneral) && r.Chance(.5)) t.ask = 0;
          answer_ = (form & 4096) != 0 ? w_.Symbol(kAnsShort) : w_.other_[1][0];
          Talk(t, session, turn,
               [&] { Form(w_.Symbol(kJobForm), p.topics[form % 3], form, item); });
          return system;
        }
        if (kind.frame == Frame::kPlain && r.Chance(kCopied)) {
          const double u = r.Unit();
          const uint64_t copied =
              Key(w_.seed_, 0xc091, static_cast<uint64_t>(u * u * u * kCopiedPrompts));
          Talk(t, session, turn, [&] {
            Form(w_.Symbol(kCopiedPrompt), static_cast<uint32_t>(copied % g_.topics()), copied,
                 item);
          });
          return system;
        }
        Talk(t, session, turn, item);
        return system;
      }
      case Frame::kApp:
        Open("system");
        Expand(w_.Symbol(kAppSystem), p.topics[0], Key(p.key, 0xa9));
        Close();
        if (r.Chance(.7)) t.topic = p.topics[0];
        if (r.Chance(.3)) t.language = DrawLanguage(&r);
        Talk(t, session, turn, item);
        return true;
      case Frame::kTool:
        Open("system");
        out_.Put(w_.tool_systems_[p.unit]);
        Close();
        Talk(t, session, turn, item);
        return true;
      case Frame::kHarness:
        Harness(p.systems, Key(p.key, 0xe4, r.Below(3)), p.topics[0]);
        Talk(t, session, turn, item);
        return true;
      case Frame::kPublicJudge:
      case Frame::kPublicReasoning: {
        const bool judge = kind.frame == Frame::kPublicJudge;
        const Wording& w = (judge ? w_.public_judges_ : w_.public_reasonings_)[p.unit];
        const bool in_system = (p.key >> 11 & 3) == 0;
        const bool public_items = (p.key >> 13 & 3) == 0;
        if (in_system) {
          Open("system");
          out_.Put(w.system);
          Close();
        }
        answer_ = judge ? w_.Symbol(kAnsMark) : w_.Symbol(kAnsReasoned);
        Talk(t, session, turn, [&] {
          if (!in_system) out_.Put(w.before);
          if (public_items)
            bench();
          else
            item();
          if (!in_system) out_.Put(w.after);
        });
        return in_system;
      }
      case Frame::kUnitForm:
      case Frame::kSynthetic:
      case Frame::kExplain:
      case Frame::kLicensed: {
        const uint64_t unit = p.unit != kNone32 ? w_.UnitKey(p.unit) : p.key;
        const Grammar::Symbol form = w_.Symbol(kind.frame == Frame::kUnitForm    ? kJobForm
                                               : kind.frame == Frame::kSynthetic ? kSyntheticForm
                                               : kind.frame == Frame::kExplain   ? kExplainForm
                                                                                 : kLicensedForm);
        const uint32_t topic = static_cast<uint32_t>(unit % g_.topics());
        const uint32_t forms = kind.frame == Frame::kUnitForm    ? 3
                               : kind.frame == Frame::kSynthetic ? 2
                                                                 : 1;
        if (r.Chance(.7)) t.topic = topic;
        answer_ = kind.frame == Frame::kLicensed ? w_.Symbol(kAnsReasoned) : w_.other_[1][0];
        Talk(t, session, turn, [&] { Form(form, topic, Key(unit, 0xf1, r.Below(forms)), item); });
        return false;
      }
      case Frame::kClassTask: {
        const uint64_t unit = w_.UnitKey(p.unit);
        t.topic = static_cast<uint32_t>(unit % g_.topics());
        t.language = 0;
        Talk(t, session, turn, [&] {
          if (r.Chance(.2)) {
            Expand(w_.Symbol(kGreet), t.topic, Key(session, 0xa7));
            out_.Put(' ');
          }
          Expand(w_.Symbol(kTask), t.topic, Key(unit, static_cast<uint64_t>(day / 7), number));
        });
        return false;
      }
      case Frame::kItems:
        t.ask = p.asks[number % 3];
        t.language = 0;
        t.topic = number % g_.topics();
        answer_ = w_.answer_of_[t.ask];
        Talk(t, session, turn, [&] { Ask(t, Key(p.key, 0x17e, number)); });
        return false;
      case Frame::kPublicItems:
        Talk(t, session, turn, bench);
        return false;
    }
    return false;
  }

  void Harness(size_t which, uint64_t repository, uint32_t topic) {
    Open("system");
    out_.Put(w_.harness_systems_[which]);
    Expand(w_.Symbol(kHarnessEnv), topic, repository);
    Close();
  }

  bool Harvest(const Job& job, const CampaignSpec& spec, uint64_t k, uint64_t session,
               uint32_t turn) {
    Rng r(session);
    Theme t;
    if (job.method->conversation) {  // its own users' sessions
      t.language = r.Chance(spec.chinese) ? kChinese : r.Chance(.6) ? 0 : DrawLanguage(&r);
      t.topic = r.Below(g_.topics());
      t.ask = job.asks[r.Below(static_cast<uint32_t>(job.asks.size()))];
      answer_ = w_.answer_of_[t.ask];
      if (job.method->harness)
        Harness(r.Below(static_cast<uint32_t>(w_.harness_systems_.size())), r.Next(), t.topic);
      Talk(t, session, turn, [&] { Ask(t, Key(session, 0xa4)); });
      return job.method->harness;
    }
    // Samples of an item lie some way apart in the queue.
    const bool probe = k < job.probes;
    constexpr uint64_t kApart = 64;
    const uint64_t main = k - job.probes, group = main / (kApart * spec.samples);
    const uint64_t number =
        probe ? 1ULL << 50 | k : group * kApart + main % (kApart * spec.samples) % kApart;
    Rng ir(Key(job.key, 0x17e, number));
    t.language = ir.Chance(spec.chinese) ? kChinese : 0;
    t.topic = ir.Below(g_.topics());
    t.ask = job.asks[ir.Below(static_cast<uint32_t>(job.asks.size()))];
    const uint64_t item = ir.Next();
    answer_ = job.answer != Grammar::kNone ? job.answer : w_.answer_of_[t.ask];
    if (probe) {
      Talk(t, session, turn,
           [&] { Form(w_.Symbol(kProbe), t.topic, r.Next(), [&] { Ask(t, item); }); });
      return false;
    }
    if (job.wordings.empty()) {
      answer_ = w_.answer_of_[t.ask];
      Talk(t, session, turn, [&] { Ask(t, item); });
      return false;
    }
    uint32_t first = 0, n = job.chinese_from;
    if (t.language == kChinese && n < job.wordings.size() && r.Chance(.85)) {
      first = n;
      n = static_cast<uint32_t>(job.wordings.size()) - n;
    }
    const Wording& w = job.wordings[first + r.Below(n)];
    if (!w.system.empty()) {
      Open("system");
      out_.Put(w.system);
      Close();
      Talk(t, session, turn, [&] { Ask(t, item); });
      return true;
    }
    Talk(t, session, turn, [&] {
      out_.Put(w.before);
      Ask(t, item);
      out_.Put(w.after);
    });
    return false;
  }

  // A stranger who bought access to a model from the relay.
  bool Customer(uint16_t pool, uint32_t customer, uint64_t session, uint32_t turn) {
    Rng of(Key(w_.seed_ ^ 0xc058, pool, customer));
    Rng r(session);
    Theme t;
    t.language = DrawLanguage(&of);
    const uint32_t topics[2] = {of.Below(g_.topics()), of.Below(g_.topics())};
    const auto& asks = w_.kind_asks_[1];  // those of independents
    const uint8_t habits[2] = {asks[of.Below(static_cast<uint32_t>(asks.size()))],
                               asks[of.Below(static_cast<uint32_t>(asks.size()))]};
    t.topic = r.Chance(.6) ? topics[r.Below(2)] : r.Below(g_.topics());
    t.ask = r.Chance(.7) ? habits[r.Below(2)] : asks[r.Below(static_cast<uint32_t>(asks.size()))];
    answer_ = w_.answer_of_[t.ask];
    const bool system = of.Chance(.3);
    if (system) {
      Open("system");
      Expand(w_.Symbol(kOwnSystem), topics[0], of.Next());
      Close();
    }
    Talk(t, session, turn, [&] { Ask(t, Key(session, 0xa4)); });
    return system;
  }

  void Tools(const Person& p, uint64_t key, uint32_t n) {
    if (Kinds()[p.kind].frame == Frame::kHarness) {
      out_.Put(",\"tools\":[\"bash\",\"edit\",\"read_file\",\"search\"]");
      return;
    }
    if (Kinds()[p.kind].frame == Frame::kTool) key = Key(w_.seed_, 0x7001, p.unit);
    out_.Put(",\"tools\":[");
    for (uint32_t i = 0; i < n; ++i) {
      out_.Put(i > 0 ? ",\"" : "\"");
      Expand(w_.Symbol(kToolName), 0, Key(key, 0x7001, i));
      out_.Put('"');
    }
    out_.Put(']');
  }

  const World& w_;
  const Grammar& g_;
  Scratch* scratch_;
  Text &out_, &truth_;
  int64_t day_ms_;
  char date_[2][12] = {};
  Theme theme_;
  Grammar::Symbol answer_ = 0;
};

void World::Render(const DayPlan& plan, size_t block, Scratch* scratch, Text* lines,
                   Text* truth) const {
  auto& events = scratch->events;
  events.assign(plan.events.begin() + static_cast<ptrdiff_t>(plan.starts[block]),
                plan.events.begin() + static_cast<ptrdiff_t>(plan.starts[block + 1]));
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    if (a.at != b.at) return a.at < b.at;
    const uint64_t x = base::Mix64(UidOf(a.account, a.ref)),
                   y = base::Mix64(UidOf(b.account, b.ref));
    return x < y;
  });
  Writer writer(*this, plan, scratch, lines, truth);
  for (const Event& e : events) writer.Record(e);
}

// --- accounts

void World::PutAccountId(uint32_t account, Text* out) const {
  out->Put("acct_");
  out->PutHex(AccountNumber(account), 16);
}

std::vector<uint32_t> World::AccountOrder() const {
  std::vector<std::pair<uint64_t, uint32_t>> ids;
  for (uint32_t a = 0; a < people_.size(); ++a) {
    if (Kept(a)) ids.push_back({AccountNumber(a), a});
  }
  std::sort(ids.begin(), ids.end());
  std::vector<uint32_t> out(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) out[i] = ids[i].second;
  return out;
}

// 0: none.
uint64_t World::OrgOf(uint32_t account, const Person& p) const {
  const KindInfo& k = Kinds()[p.kind];
  if (k.web) return 0;
  if (k.one_card && k.business && k.unit > 0 && (k.verified || k.one_domain))
    return Key(UnitKey(p.unit), 0x026);
  if (k.business || (p.key >> 25 & 3) == 0) return Key(p.key, 0x026);
  return 0;
}

void World::RenderAccount(uint32_t account, Text* out) const {
  const Person& p = people_[account];
  const KindInfo& k = Kinds()[p.kind];
  const bool operators =
      p.pool != kNone16 && p.infrastructure;  // bought or enrolled by the pool's makers
  Rng r(Key(p.key, 2));
  const auto text = [&](std::string_view key, std::string_view value) {
    out->Put(key);
    out->Put(value);
    out->Put('"');
  };
  const auto id = [&](std::string_view key, uint64_t value) {
    out->Put(key);
    out->PutHex(value >> 8, 14);
    out->Put('"');
  };
  // When it was opened: in use at once by those who join; the others long before.
  double age = r.Exponential(250) + .5;
  if (p.from_min > 0 && p.pool == kNone16) age = r.Exponential(.02);
  if (p.pool != kNone16 && p.role >= Kinds().size() && p.role != Kinds().size() + 2) {
    const PoolSpec& spec = scenario_.pools[p.pool];
    const bool late =
        p.from_min >
        static_cast<int32_t>((pools_[p.pool].from_ms - scenario_.start_ms) / 60'000) + 4320;
    if (spec.account_age_days)
      age = r.Uniform(spec.account_age_days->first, spec.account_age_days->second);
    else if (late)
      age = r.Exponential(.02);
  }
  if (k.habit == Habit::kEvent) age = r.Exponential(30);
  const int64_t used = scenario_.start_ms + int64_t{p.from_min} * 60'000;
  const int64_t created = used - static_cast<int64_t>(age * double{kMsPerDay});

  out->Room(1024);
  out->Put("{\"account_id\":\"");
  PutAccountId(account, out);
  text("\",\"created_at\":\"", base::FormatRfc3339(created));
  const uint64_t org = OrgOf(account, p);
  if (org != 0) {
    out->Put(",\"org_id\":\"org_");
    out->PutHex(org >> 16, 12);
    out->Put('"');
  }
  out->Put(k.verified ? ",\"org_verified\":true" : ",\"org_verified\":false");
  constexpr std::string_view kWebPlans[] = {"free", "free", "pro", "pro", "max"},
                             kApiPlans[] = {"tier-1", "tier-1", "tier-2",
                                            "tier-2", "tier-3", "tier-4"};
  text(",\"plan\":\"", k.web        ? kWebPlans[r.Below(5)]
                       : k.verified ? "enterprise"
                                    : kApiPlans[r.Below(6)]);
  text(",\"channel\":\"", k.web              ? "web"
                          : p.key >> 59 == 1 ? "cloud:north"
                          : p.key >> 59 == 2 ? "cloud:delta"
                                             : "api");
  // Mail.
  const double u = r.Unit();
  std::string own;
  std::string_view domain;
  if (operators && r.Chance(scenario_.pools[p.pool].mail)) {
    const auto& domains = pools_[p.pool].domains;
    domain = domains[r.Below(static_cast<uint32_t>(domains.size()))];
  } else if (k.network == Network::kCampus && k.frame == Frame::kClassTask) {
    own = StrCat("uni", Key(seed_, UnitKey(p.unit)) % 4000, ".edu");
  } else if (k.one_domain && k.unit > 0) {
    own = OwnDomain(Key(UnitKey(p.unit), 0xd0));
  } else if (k.business || u < (k.web ? .01 : .16)) {
    own = OwnDomain(Key(p.key, 0xd0));
  } else if (u < (k.web ? .02 : .20)) {
    domain = DisposableMail(&r);
  } else {
    domain = PublicMail(&r);
  }
  text(",\"email_domain\":\"", own.empty() ? domain : std::string_view(own));
  // Card.
  if (operators) {
    const uint32_t n = account - pools_[p.pool].first;
    id(",\"payment_id\":\"pay_", PoolCard(p.pool, n / scenario_.pools[p.pool].card_accounts));
  } else if (k.one_card && k.unit > 0) {
    id(",\"payment_id\":\"pay_", Key(UnitKey(p.unit), 0xca2d));
  } else if (!k.web || r.Chance(.5)) {
    const bool shared = (p.key & 7) == 0 && r.Chance(.4);  // in a household
    id(",\"payment_id\":\"pay_",
       shared ? Key(seed_, 0xca2e, (p.key >> 3) % std::max<size_t>(1, people_.size() / 20))
              : Key(p.key, 0xca2d));
  }
  constexpr std::string_view kKyc[] = {"email", "email",    "email", "phone",
                                       "phone", "document", "none"};
  text(",\"kyc\":\"", k.business && (k.verified || r.Chance(.6)) ? "business" : kKyc[r.Below(7)]);
  text(",\"country\":\"", Country(p.language, &r));
  text(",\"citizenship\":\"", Country(p.language, &r));
  constexpr std::string_view kReferrers[] = {"search",  "search", "docs",       "friend",
                                             "podcast", "ad",     "newsletter", "video"};
  const double ref = r.Unit();
  if (operators && ref < .3) {
    id(",\"referrer\":\"invite-", Key(seed_, 0x2ef, p.pool));
  } else if (ref < .04) {
    id(",\"referrer\":\"invite-",
       Key(seed_, 0x2f0, r.Below(static_cast<uint32_t>(people_.size() / 10 + 1))));
  } else if (ref < .55) {
    text(",\"referrer\":\"", kReferrers[r.Below(8)]);
  }
  out->Put(",\"signup_ip\":\"");
  PutIp(Address(p, created, Key(p.key, 3)), out);
  out->Put("\"}\n");
}

// What a provider has kept of the pools that it banned.
std::string World::Known() const {
  std::string out;
  for (size_t i = 0; i < pools_.size(); ++i) {
    const PoolSpec& spec = scenario_.pools[i];
    if (spec.banned_ms == 0 || spec.infrastructure == 0) continue;
    StrAppend(&out, "- actor: ", spec.operator_name, "\n  basis: pool ", spec.name, ", banned ",
              base::FormatRfc3339(spec.banned_ms), "\n  reliability: B\n  traits:\n");
    const auto trait = [&](std::string_view family, std::string_view value) {
      StrAppend(&out, "    - {family: ", family, ", value: ", value, "}\n");
    };
    const uint64_t cards = (spec.accounts + spec.card_accounts - 1) / spec.card_accounts;
    for (uint64_t c = 0; c < std::min<uint64_t>(cards, 5); ++c) {
      Text id;
      id.Put("pay_");
      id.PutHex(PoolCard(static_cast<uint16_t>(i), c) >> 8, 14);
      trait("payment", id.view());
    }
    for (size_t e = 0; e < std::min<size_t>(pools_[i].exits.size(), 8); ++e) {
      Text ip;
      PutIp(pools_[i].exits[e], &ip);
      trait("network", ip.view());
    }
    trait("enrolment", pools_[i].domains[0]);
  }
  return out.empty() ? "[]\n" : out;
}

std::string World::Permits() const {
  std::string out;
  uint32_t last = kNone32;
  double volume = 0;
  const auto flush = [&](uint32_t unit) {
    if (unit == kNone32) return;
    char org[20];
    std::snprintf(org, sizeof org, "%012llx",
                  static_cast<unsigned long long>(Key(UnitKey(unit), 0x026) >> 16));
    StrAppend(&out, "- id: permit-", std::string_view(org).substr(0, 6), "\n  org_id: org_", org,
              "\n  models: []\n  exchanges_max: ", static_cast<uint64_t>(volume * 2) + 1000,
              "\n  valid_from: ", base::FormatRfc3339(scenario_.start_ms - 90 * kMsPerDay),
              "\n  valid_until: ", base::FormatRfc3339(scenario_.end_ms() + 180 * kMsPerDay), "\n");
  };
  for (const Person& p : people_) {
    if (Kinds()[p.kind].frame != Frame::kLicensed) continue;
    if (p.unit != last) {
      flush(last);
      last = p.unit;
      volume = 0;
    }
    volume += double{p.per_day} * scenario_.days;
  }
  flush(last);
  return out.empty() ? "[]\n" : out;
}

}  // namespace stillwatch::simulate
