#include "simulate/kinds.h"

namespace stillwatch::simulate {
namespace {

using enum Habit;
using enum Network;

// Rates are relative to each other; a scenario's `innocents` scales them to its total.
constexpr KindInfo kKinds[] = {
    // name, share, per day, sigma, habit, network, frame, unit, web, card, domain, verified,
    // business, asks
    {"individual", .560, .55, .8, kPerson, kHome, Frame::kPlain, 0, true, false, false, false,
     false, "general general general general software maths translation decision"},
    {"independent", .080, 5, 1.1, kPerson, kHosting, Frame::kPlain, 0, false, false, false, false,
     false, "software software general maths data agent translation tool planning security"},
    {"heavy-independent", .010, 40, 1.0, kJobs, kHosting, Frame::kPlain, 0, false, false, false,
     false, false,
     "software software general maths data agent solved tool planning screen security decision"},
    {"app", .020, 9, 1.0, kService, kHosting, Frame::kApp, 0, false, false, false, false, true,
     "general"},
    {"popular-tool", .060, 1.3, .8, kPerson, kHome, Frame::kTool, 0, false, false, false, false,
     false, "general general software translation"},
    {"coding-agent", .030, 4, .9, kPerson, kHome, Frame::kHarness, 0, false, false, false, false,
     false, "harness"},
    {"public-judge", .006, 2.5, .8, kJobs, kHosting, Frame::kPublicJudge, 0, false, false, false,
     false, false, "solved"},
    {"public-reasoning", .007, 2.5, .8, kPerson, kHosting, Frame::kPublicReasoning, 0, false, false,
     false, false, false, "maths general"},
    {"small-firm", .014, 2.5, .6, kPerson, kOffice, Frame::kUnitForm, 7, false, true, true, false,
     true, "general"},
    {"coding-org", .024, 2.5, .7, kPerson, kOffice, Frame::kHarness, 18, false, true, true, true,
     true, "harness"},
    {"evaluator", .002, 25, .5, kNightly, kHosting, Frame::kItems, 0, false, false, false, false,
     true, "maths software general"},
    {"synthetic-data", .002, 18, .5, kJobs, kOffice, Frame::kSynthetic, 8, false, true, true, true,
     true, "general"},
    {"permitted", .001, 25, .4, kJobs, kHosting, Frame::kLicensed, 10, false, true, true, true,
     true, "maths"},
    {"gateway", .002, 40, .8, kService, kHosting, Frame::kPlain, 4, false, true, true, false, true,
     "general general software maths translation data"},
    {"agency", .008, 1.5, .7, kPerson, kHome, Frame::kPlain, 12, false, true, true, false, true,
     "general translation data"},
    {"reseller", .010, 3, .9, kService, kHome, Frame::kApp, 40, false, true, false, false, true,
     "general"},
    {"university", .040, .25, .4, kClass, kCampus, Frame::kClassTask, 30, true, false, true, false,
     false, "maths"},
    {"explainability", .003, 8, .6, kPerson, kOffice, Frame::kExplain, 5, false, true, true, false,
     true, "case"},
    {"launch-day", .009, .5, .6, kLaunch, kHome, Frame::kPublicItems, 0, false, false, false, false,
     false, "maths software"},
    {"hackathon", .006, .4, .6, kEvent, kCampus, Frame::kPlain, 30, false, false, false, false,
     false, "software general tool"},
    {"carrier-nat", .080, .6, .8, kPerson, kCarrier, Frame::kPlain, 90, true, false, false, false,
     false, "general general general maths translation"},
    {"vpn", .020, 1.5, .9, kPerson, kVpn, Frame::kPlain, 0, false, false, false, false, false,
     "general software translation"},
    {"labelling-job", .006, 12, .8, kJobs, kHosting, Frame::kAccountForm, 0, false, false, false,
     false, false, "general"},
};

constexpr std::string_view kAskNames[kAsks] = {
    "general",     "software",  "maths",    "data",   "agent", "planning", "tool",    "screen",
    "translation", "sensitive", "decision", "solved", "trace", "security", "harness", "case"};

constexpr MethodInfo kMethods[] = {
    {"forced-reasoning", "scaffold.forced_reasoning", "ans.reasoned", "trace_extraction",
     "maths general software data", false, false},
    {"verbatim", "scaffold.verbatim", "ans.reasoned", "trace_extraction", "general maths software",
     false, false},
    {"behind-answer", "scaffold.behind_answer", "ans.reasoned", "trace_extraction", "solved", false,
     false},
    {"cleaning", "scaffold.cleaning", "ans.reasoned", "trace_extraction", "trace", false, false},
    {"grading", "scaffold.grading", "ans.mark", "grading", "solved", false, false},
    {"trajectory", "scaffold.trajectory", "ans.trajectory", "agentic_reasoning", "agent", false,
     false},
    {"tool-call", "scaffold.tool_call", "ans.call", "tool_use", "tool", false, false},
    {"engineering", "scaffold.engineering", "ans.code", "software_engineering", "software", false,
     false},
    {"planning", "scaffold.planning", "ans.general", "long_horizon_planning", "planning", false,
     false},
    {"computer-use", "scaffold.computer_use", "ans.trajectory", "computer_use", "screen", false,
     false},
    {"rewriting", "scaffold.rewriting", "ans.general", "safety_rewriting", "sensitive", false,
     false},
    {"proofs", "scaffold.proofs", "ans.maths", "mathematics", "maths", false, false},
    {"analysis", "scaffold.analysis", "ans.general", "data_analysis", "data", false, false},
    {"decisions", "scaffold.decisions", "ans.general", "decision_making", "decision", false, false},
    {"security", "scaffold.security", "ans.code", "software_engineering", "security", false, false},
    {"forward", "", "", "other", "general software maths data", true, false},
    {"sessions", "", "ans.code", "software_engineering", "harness", true, true},
};

}  // namespace

std::span<const KindInfo> Kinds() { return kKinds; }

const KindInfo* FindKind(std::string_view name) {
  for (const KindInfo& k : kKinds) {
    if (k.name == name) return &k;
  }
  return nullptr;
}

int FindAsk(std::string_view name) {
  for (int a = 0; a < kAsks; ++a) {
    if (kAskNames[a] == name) return a;
  }
  return -1;
}

std::string_view AskName(int ask) { return kAskNames[ask]; }

std::span<const MethodInfo> Methods() { return kMethods; }

const MethodInfo* FindMethod(std::string_view name) {
  for (const MethodInfo& m : kMethods) {
    if (m.name == name) return &m;
  }
  return nullptr;
}

}  // namespace stillwatch::simulate
