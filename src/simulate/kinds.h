// The kinds of innocents: who looks guilty and is not, and everybody else.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace stillwatch::simulate {

// When an account acts.
enum class Habit : uint8_t {
  kPerson,   // sessions by its own daily hours, fewer at weekends
  kService,  // all day, following its users' day
  kJobs,     // runs of its own of some hours, on some days
  kNightly,  // the same item list every night
  kClass,    // a course's hours, once or twice a week
  kLaunch,   // the first day of a new model
  kEvent,    // two days of an event
};

enum class Network : uint8_t { kHome, kHosting, kOffice, kCarrier, kCampus, kVpn };

// What stands around the ask.
enum class Frame : uint8_t {
  kPlain,            // nothing, or for API users at times a system prompt of one's own
  kApp,              // a long system prompt of the account's own
  kTool,             // the system prompt of a popular tool
  kHarness,          // of a coding agent
  kPublicJudge,      // a published judge scaffold
  kPublicReasoning,  // a published scaffold that asks for reasoning in tags
  kAccountForm,      // a form of the account's own
  kUnitForm,         // of the customer's
  kSynthetic,
  kExplain,
  kLicensed,     // of the customer's, for its own purposes
  kClassTask,    // the course's tasks
  kItems,        // the account's own item list, nothing around it
  kPublicItems,  // a public benchmark's items, nothing around them
};

struct KindInfo {
  std::string_view name;
  double share;    // of innocent accounts in the mixture
  double per_day;  // exchanges per account and day in the mixture
  double sigma;    // spread of rates over accounts
  Habit habit;
  Network network;
  Frame frame;
  uint32_t unit;  // accounts per customer, course, tool's ... group; 0: none
  bool web;       // channel web, otherwise api
  bool one_card, one_domain, verified, business;
  std::string_view asks;  // what they ask: names of asks.h, repeated for weight
};

std::span<const KindInfo> Kinds();
const KindInfo* FindKind(std::string_view name);

// What is asked. `name`.LANGUAGE symbols of the grammar; English where a language has none.
enum class Ask : uint8_t {
  kGeneral,
  kSoftware,
  kMaths,
  kData,
  kAgent,
  kPlanning,
  kTool,
  kScreen,
  kTranslation,
  kSensitive,
  kDecision,
  kSolved,
  kTrace,
  kSecurity,
  kHarness,
  kCase,
  kCount,
};
inline constexpr int kAsks = static_cast<int>(Ask::kCount);
int FindAsk(std::string_view name);  // -1: unknown
std::string_view AskName(int ask);

// How a campaign harvests.
struct MethodInfo {
  std::string_view name;
  std::string_view scaffold;    // symbol; empty: has none
  std::string_view answer;      // symbol
  std::string_view capability;  // of the truth
  std::string_view asks;        // its items unless the scenario says otherwise
  bool conversation;            // forwards its users' sessions, turn by turn
  bool harness;                 // under a coding agent's system prompt
};
const MethodInfo* FindMethod(std::string_view name);
std::span<const MethodInfo> Methods();

}  // namespace stillwatch::simulate
