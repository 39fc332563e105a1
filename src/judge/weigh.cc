#include "judge/weigh.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/text.h"
#include "judge/split.h"
#include "model/words.h"

namespace stillwatch::judge {
namespace {

using base::Fixed;
using base::Percent;
using model::Evidence;
using model::Family;
using model::Verdict;

constexpr double kFocusMin = .6;           // of the exchanges have one shingle in common
constexpr double kCompanyBits = 14;        // what the strongest family alone says
constexpr double kCoverageExcessMin = .1;  // of the accounts
// What is a small part of the work (kDedicatedMin) of accounts that mostly share nothing is
// nobody's harvest, but a turn of phrase.
constexpr double kCoveredMin = .5, kRelayedMin = .02;
constexpr double kHiddenMin = .3;  // of the accounts, beyond chance
constexpr double kHiddenBits = 1.5;
constexpr double kProbabilityMax = .995;
constexpr size_t kLongScaffold = 5;  // sampled shingles, one in three: 15 words or more

// Evidence from a standard score: half of the Gaussian log likelihood ratio, because the tails of
// random groups are heavier than a Gaussian's, less one bit for having looked.
double ScoreBits(double z, double cap) {
  if (z <= 0) return -1;
  return std::min(cap, z * z / 2 / std::log(2.0) / 2 - 1);
}

std::string Whole(double n) {
  return base::Grouped(static_cast<uint64_t>(std::llround(std::max(0.0, n))));
}

// "none asks" where "0 % ask" would stand.
std::string Portion(double share, const char* one, const char* many) {
  return share < .005 ? std::string("none") + one : Percent(share) + many;
}

struct SignWeight {
  const char* words;
  double bits;
};
// Bits for a scaffold in which every exchange carries the sign and hardly any other does.
constexpr SignWeight kSigns[7] = {
    {"asks for the reasoning to be written out", 2.5},
    {"asks for hidden or earlier reasoning, word for word", 4},
    {"asks for a grade of somebody's answer", 2.5},
    {"asks for complete agent steps with calls and observations", 4},
    {"says that the output becomes data for training", 4},
    {"asks for refusals or style to be rewritten", 2.5},
    {"dictates a machine-readable form of the answer", 1},
};

}  // namespace

Weighed Weigh(const Facts& f, Formed formed) {
  Weighed w;
  uint32_t families = 0;  // a bit each: two statements of one family are one
  const auto add = [&](Family family, double bits, std::string statement, std::string null,
                       bool counts = true) {
    Evidence e;
    e.family = family;
    e.bits = bits;
    e.statement = std::move(statement);
    e.null = std::move(null);
    w.evidence.push_back(std::move(e));
    if (counts && family != Family::kPurpose && bits >= kFamilyBitsMin)
      families |= 1u << static_cast<int>(family);
  };
  const double n = std::max(1u, f.accounts);

  // Rhythm.
  double rhythm = ScoreBits(f.rhythm_z, 14);
  if (f.rhythm.excess < AudibleExcess(f.rhythm))
    rhythm = std::min(rhythm, 0.0);  // a common calendar does as much
  if (f.rhythm_z < 2) {
    // Silence speaks against a queue as far as it could have been heard; one in ten hides its
    // rhythm whatever the volume.
    const double heard =
        (f.rhythm_z - f.rhythm.power) * (f.rhythm_z - f.rhythm.power) - f.rhythm_z * f.rhythm_z;
    rhythm = std::clamp(-heard / 2 / std::log(2.0) / 2, -3.3, 0.0);
  }
  add(Family::kRhythm, rhythm,
      "Different accounts were active in the same hour " + Whole(f.rhythm.pairs) +
          " times where their own habits explain " + Whole(f.rhythm.expected) + " (" +
          (f.rhythm.excess >= 0 ? "+" : "") + Percent(f.rhythm.excess) + ", " +
          Fixed(f.rhythm_z, 1) +
          " standard deviations of random groups of this log; an ordinary queue "
          "would show " +
          Fixed(f.rhythm.power, 1) + ").",
      "Each account acts by its own daily habit on the days on which it was active, independently "
      "of "
      "the others; " +
          (f.rhythm_groups > 0
               ? "calibrated on " + std::to_string(f.rhythm_groups) +
                     " random groups of other accounts of the same log."
               : std::string("at face value, which says too little to be compared with other "
                             "groups, or there are too few other accounts.")));
  double independent = rhythm;
  // What is heard of others' rhythm is one rhythm with it: half of each standard score's weight.
  // Of e-values the mean is one, so that what was heard costs a bit at most and needs no choice.
  if (!f.prior.heard.empty()) {
    double gain = 0;
    const double own = std::max(rhythm, -1.0);  // silence of one's own is not made up for
    for (const double z : f.prior.heard)
      gain += std::exp2(ScoreBits((std::max(0.0, f.rhythm_z) + z) / std::sqrt(2.0), 14) - own);
    w.heard_bits = std::log2(.5 + gain / static_cast<double>(f.prior.heard.size()) / 2);
    add(Family::kShared, w.heard_bits, f.prior.heard_statement, f.prior.heard_null, false);
  }

  // Shared values.
  static constexpr struct {
    Family family;
    const char* what;
  } kCover[link::kLinkFamilies] = {{Family::kNetwork, "an address"},
                                   {Family::kClient, "a rare client"},
                                   {Family::kEnrolment, "a rare mail domain or referrer"},
                                   {Family::kPayment, "a payment instrument"}};
  double purse = 0;
  for (int i = 0; i < link::kLinkFamilies; ++i) {
    const Coverage& c = f.coverage[i];
    if (i == 1 && c.linked == 0) continue;
    double bits = c.linked == 0 ? (formed == Formed::kPurse ? 0 : -.5) : c.bits;
    add(kCover[i].family, bits,
        base::Grouped(c.linked) + " of " + base::Grouped(f.accounts) + " accounts share " +
            kCover[i].what + " with another of the group (" + Fixed(c.expected, 1) +
            " expected by chance).",
        "The accounts are strangers whose shared values fall as often as in the rest of the log "
        "(same number of links per account, partners at random).",
        // In a large group a slight excess of sharing is certain and means little: it is weighed,
        // but is no family of evidence.
        c.linked - c.expected >= kCoverageExcessMin * n);
    purse += bits;
    // A purse that formed the candidate is no proof of itself: half of it counts.
    independent += formed == Formed::kPurse ? bits / 2 : bits;
  }

  // Enrolment in one go.
  if (f.young > .5 && f.young > f.young_elsewhere * 1.5) {
    const double bits = std::min(4.0, n * (f.young - f.young_elsewhere) / 4) * f.sign_up_burst;
    add(Family::kEnrolment, bits,
        Percent(f.young) + " of the accounts were less than 30 days old when first used (" +
            Percent(f.young_elsewhere) + " elsewhere in this log); " + Percent(f.sign_up_burst) +
            " were created within one week.",
        "Accounts are as old as other accounts of this log.");
    independent += std::min(bits, 2.0);
    purse += bits;
  }

  // Replayed signatures.
  double replay = 0;
  if (f.replays >= 3 && f.replayed_volume >= .5) {
    replay = std::min(14.0, 6 + std::log2(f.replays));
    add(Family::kReplay, replay,
        Whole(f.replays) +
            " exchanges present a reasoning signature that was issued to another "
            "customer.",
        "A signature is presented by the account to which it was issued.");
    independent += replay;
  }

  // Text and manner: what brought the accounts together, weak against a shared tool.
  if (formed == Formed::kText && !f.phrase) {
    // As far as it picks them out among all who send it: where many of those follow no queue it is
    // a tool's, or people's way to ask.
    add(Family::kText, std::max(0.0, 2 - std::log2(1 + f.strangers / n)),
        base::Grouped(f.entities) +
            " customers send one scaffold around changing payloads; it is on "
            "no list of public ones and " +
            (f.strangers == 0
                 ? std::string("nobody else in this log sends it.")
                 : base::Grouped(f.strangers) + " accounts that follow no queue send it too."),
        "People who have nothing to do with each other write what people write; a published "
        "scaffold "
        "explains it as well, so this counts little.");
  }
  if (formed == Formed::kCompany && f.focus >= kFocusMin) {
    add(Family::kText, 2, Percent(f.focus) + " of the exchanges have the same few words in common.",
        "Accounts of one pool do unrelated work, in words of its own.");
  }
  if (f.one_setting >= .9 && f.accounts >= 8) {
    add(Family::kManner, 1,
        Percent(f.one_setting) + " of the exchanges use the same decoding settings.",
        "Settings are chosen by each customer; a shared tool explains it as well, so this counts "
        "little.");
  }

  // Openly one customer?
  if (f.verified >= .5) {
    w.overt_why =
        "a verified organisation stands behind " + Percent(f.verified) + " of the accounts";
  } else if (f.one_own_domain >= .6 && (f.one_payment >= .6 || f.business >= .5)) {
    w.overt_why = Percent(f.one_own_domain) + " of the accounts use one mail domain of their own";
  } else if (f.one_payment >= .8) {
    w.overt_why = Percent(f.one_payment) + " of the accounts pay with one instrument";
  } else if (f.one_address >= .6 && !(f.coverage[3].linked >= .5 * n && f.payments >= 3)) {
    w.overt_why = Percent(f.one_address) + " of the accounts work from one address";
  }
  w.overt = !w.overt_why.empty();

  // Purpose.
  double purpose = 0;
  bool asks = false;  // signs in the text
  std::string signs;
  if (f.has_text) {
    std::array<double, 7> gains{};
    for (int b = 0; b < 7; ++b) {
      const double lift = f.sign[b] - 2 * f.sign_elsewhere[b];
      if (f.sign[b] < .3 || lift <= 0) continue;
      gains[b] = kSigns[b].bits * std::min(1.0, lift / .6);
      signs += (signs.empty() ? "" : "; ") + Percent(f.sign[b]) + " " + kSigns[b].words;
    }
    std::sort(gains.rbegin(), gains.rend());
    purpose += gains[0] + gains[1] / 2;
    asks = gains[0] > 0;
    if (!signs.empty()) {
      add(Family::kPurpose, purpose, "Of the exchanges, " + signs + ".",
          "Requests carry these signs as often as the rest of this log.");
    }
    int top = 0;
    for (int c = 1; c < model::kCapabilities; ++c) {
      if (f.capability[c] > f.capability[top]) top = c;
    }
    const double concentration = top == static_cast<int>(model::Capability::kOther) ? 0
                                 : f.capability[top] >= .7                          ? 2
                                 : f.capability[top] >= .5                          ? 1
                                                                                    : 0;
    if (concentration > 0) {
      add(Family::kPurpose, concentration,
          Percent(f.capability[top]) + " of the exchanges aim at one capability, " +
              model::CapabilityWords(static_cast<model::Capability>(top)) + ".",
          "Customers' requests spread over capabilities.");
      purpose += concentration;
      asks = true;
    }
    double items = 0;
    if (f.popular_items >= .6 || (f.effective_items < 30 && f.entities >= 10))
      items = -5;
    else if (f.recurring_items >= .3)
      items = -4;
    else if (f.distinct_items >= .25 && f.effective_items >= 60 && f.popular_items < .4)
      items = 2;
    w.crowd = items <= -4;
    add(Family::kPurpose, items,
        "The exchanges cover " + Whole(f.distinct_items * static_cast<double>(f.exchanges)) +
            " distinct items (as many as " + Whole(f.effective_items) +
            " equally frequent ones); " + Portion(f.popular_items, " asks", " ask") +
            " one of the few that many customers ask, " +
            Portion(f.recurring_items, " repeats", " repeat") +
            " an item of their own from another day.",
        items < 0 ? "A harvest covers a long list item by item; a class, a crowd or an evaluation "
                    "asks few items often."
                  : "People ask what they need, popular things more often.");
    purpose += items;
    // Who replays passes on the conversations of others.
    const double follow = f.follow_ups < .05 ? 1 : f.follow_ups > .3 && replay == 0 ? -3 : 0;
    if (follow != 0) {
      add(Family::kPurpose, follow,
          f.follow_ups < .005
              ? "None of the exchanges continues a conversation."
              : Percent(f.follow_ups) + " of the exchanges continue a conversation.",
          "People who use an answer ask back.");
      purpose += follow;
    }
  }
  // An open customer's batch is paid with one card. Accounts under one control that spread it over
  // several hide the control. That says what for only beside a sign in the text.
  if (asks && !w.overt && f.payments >= 3 && f.one_payment < .5 &&
      f.coverage[3].linked - f.coverage[3].expected >= kHiddenMin * n) {
    add(Family::kPurpose, kHiddenBits,
        "The accounts that share a payment instrument are spread over " +
            base::Grouped(f.payments) + " instruments, the largest of which pays for " +
            Percent(f.one_payment) +
            " of them: common control that does not show in any one account.",
        "A customer who runs many accounts for a reason of his own pays for them openly.");
    purpose += kHiddenBits;
  }
  if (replay > 0) purpose += 4;
  // Accounts that were told to be one operator's by other work of theirs need not be told so again;
  // what this work is for must show.
  const bool company = f.company >= kCompanyMin;
  if (company) {
    add(Family::kPurpose, 2,
        Percent(f.company) +
            " of the accounts take part in other work of this log that is a harvest.",
        "Accounts of one pool do unrelated work.");
    purpose += 2;
    independent += kCompanyBits;
  }
  w.purpose_bits = purpose;
  w.independent_bits = independent;

  // The purse says who, never what: that the accounts do one job shows in their rhythm, in a
  // replayed signature or, where there is too little traffic to hear a rhythm, in a long scaffold
  // paid for with shared cards (a campus shares addresses and a mail domain, never a card).
  const bool one_job =
      rhythm >= kFamilyBitsMin || replay > 0 ||
      (f.rhythm.power < 3 && f.dedicated >= kDedicatedMin && f.scaffold >= kLongScaffold &&
       f.main_family >= .5 && f.coverage[3].bits >= 4) ||
      // Of less than two days habits take in what would be heard: what accounts of
      // one operator send with one scaffold and pay for with shared cards.
      (company && formed == Formed::kText && !f.phrase && f.rhythm.absorbed >= link::kAbsorbedMax &&
       f.main_family >= .5 && f.coverage[3].bits >= 4);
  // Rival explanations on the same evidence, in bits relative to unrelated users of one tool.
  // A published scaffold may ask for training material as well (one in six does), so purpose
  // separates a harvest from other coordinated work in full and from a shared tool a little.
  // Accounts that only ask in one manner may follow a calendar that nobody here knows: five bits
  // at most.
  const double coordination =
      std::min(rhythm + w.heard_bits + purse + replay + (company ? kCompanyBits : 0),
               formed == Formed::kManner ? 5.0 : 24.0);
  std::array<double, model::kVerdicts> bits;
  bits.fill(-60);
  bits[int(Verdict::kDistillation)] = -6 + coordination + std::min(purpose, 2.5) -
                                      (w.overt ? 12 : 0) - (w.crowd ? 6 : 0) - (one_job ? 0 : 4);
  bits[int(Verdict::kCoordinatedOther)] =
      -6 + coordination - (w.overt ? 0 : std::clamp(purpose - 2, -4.0, 6.0));
  bits[int(Verdict::kSharedTool)] = formed == Formed::kText ? 0 : -2;
  bits[int(Verdict::kEvaluation)] = -6 + (f.recurring_items >= .3 ? 10 : 0) + (w.crowd ? 3 : 0);
  bits[int(Verdict::kDistillation)] += f.prior.bits;
  if (!f.prior.statement.empty())
    add(Family::kShared, f.prior.bits, f.prior.statement, f.prior.null, false);
  if (!f.has_text && replay == 0)
    bits[0] = std::min(bits[0], bits[int(Verdict::kCoordinatedOther)] - 2);
  const double top = *std::max_element(bits.begin(), bits.end());
  double rivals = 0;
  for (int v = 1; v < model::kVerdicts; ++v) rivals += std::exp2(bits[v] - top);
  w.odds_bits = bits[0] - top - std::log2(rivals);
  const size_t best_at =
      static_cast<size_t>(std::max_element(bits.begin(), bits.end()) - bits.begin());
  double others = 0;
  for (size_t v = 0; v < bits.size(); ++v) others += v == best_at ? 0 : std::exp2(bits[v] - top);
  // Nothing is stated surer than this; the rest is the others'.
  w.probability[best_at] = std::min(1 / (1 + others), kProbabilityMax);
  for (size_t v = 0; v < bits.size(); ++v) {
    if (v != best_at)
      w.probability[v] = std::exp2(bits[v] - top) / others * (1 - w.probability[best_at]);
  }

  w.families = std::popcount(families) + company;
  // A phrase brings strangers together: most of its work must be told to follow the queue.
  const bool told = !f.phrase || f.followed >= .5 || replay > 0;
  // The accounts of a relay do their customers' work as well: only what has words in common is one
  // job, or what presents others' signatures itself.
  const bool focused = formed != Formed::kCompany || f.focus >= kFocusMin || replay > 0;
  bool theirs = f.dedicated >= kDedicatedMin || replay > 0 || company;
  for (const Coverage& c : f.coverage) {
    theirs |= f.dedicated >= kRelayedMin && c.linked - c.expected >= kCoveredMin * n;
  }
  const bool gates = one_job && told && focused && theirs &&
                     w.families >= kCoordinationFamiliesMin && purpose >= kPurposeBitsMin &&
                     !w.overt && !w.crowd && formed != Formed::kPurse && formed != Formed::kManner;
  const auto best = static_cast<Verdict>(
      std::max_element(w.probability.begin(), w.probability.end()) - w.probability.begin());
  if (best == Verdict::kDistillation) {
    w.verdict = gates && w.probability[0] >= kAccuseProbability ? Verdict::kDistillation
                                                                : Verdict::kUnresolved;
  } else {
    w.verdict = w.probability[int(best)] >= .6 ? best : Verdict::kUnresolved;
  }

  if (w.verdict == Verdict::kDistillation) {
    w.would_change =
        "A permit or contract that covers these accounts, or proof that they belong to one "
        "verified customer, would change the verdict.";
    if (purse < 3) {
      w.would_change +=
          " Little is shared but text and rhythm: a common scheduler of a published tool "
          "would explain both.";
    }
  } else if (!f.has_text) {
    w.would_change =
        "The log carries no text: sketches of the prompts would show whether the accounts do "
        "one job and what it is for.";
  } else if (formed == Formed::kManner) {
    w.would_change =
        "A link between the accounts (payment, address, enrolment) or a common scaffold would "
        "raise the probability; unrelated schedules over the next weeks would lower it.";
  } else if (w.overt) {
    w.would_change =
        "It would be judged again if the accounts did not belong to the one customer they "
        "appear to belong to (" +
        w.overt_why + ").";
  } else if (rhythm >= kFamilyBitsMin && w.families < kCoordinationFamiliesMin) {
    w.would_change =
        "The accounts follow one rhythm, and nothing else says so: a payment, an address or an "
        "enrolment that most of them share, or a scaffold that few others send, would decide it.";
  } else if (rhythm <= 0 && f.rhythm.power < 3) {
    w.would_change =
        "There is too little traffic to see a common rhythm (an ordinary queue would show " +
        Fixed(f.rhythm.power, 1) + " standard deviations); more weeks would decide it.";
  } else {
    w.would_change =
        "A common rhythm, payment or address over most of the work would raise the probability.";
  }
  std::stable_sort(w.evidence.begin(), w.evidence.end(),
                   [](const Evidence& a, const Evidence& b) { return a.bits > b.bits; });
  return w;
}

std::vector<bool> SelectByEBH(const std::vector<double>& log2_e, double rate) {
  const size_t m = log2_e.size();
  std::vector<size_t> order(m);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return log2_e[a] != log2_e[b] ? log2_e[a] > log2_e[b] : a < b;
  });
  size_t chosen = 0;
  for (size_t k = 1; k <= m; ++k) {
    if (log2_e[order[k - 1]] >=
        std::log2(static_cast<double>(m) / (static_cast<double>(k) * rate))) {
      chosen = k;
    }
  }
  std::vector<bool> out(m, false);
  for (size_t k = 0; k < chosen; ++k) out[order[k]] = true;
  return out;
}

}  // namespace stillwatch::judge
