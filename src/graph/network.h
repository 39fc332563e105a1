// The network of a campaign for people: accounts in pools, and what several of them share, as a
// tree of clusters of which a view opens a few. All positions are computed here.
//
// Tree: the campaign, its pools, groups inside a pool that is large (accounts that share a value,
// the most widely shared first), accounts. A value stands in the smallest cluster that holds all
// its accounts, so what stands at the top crosses pools. No cluster has more than kFan children:
// the smallest of more are bundled.
//
// Layout: each cluster is a disc with an area by the accounts in it; its children are laid out
// inside by forces (Fruchterman and Reingold 1991, with discs that may not overlap), from a
// sunflower as start. A child's place depends on its cluster alone: opening and closing others
// moves nothing, and only what is opened is ever laid out. The same input gives the same numbers.
//
// Pure. Safe to read from several threads once built; layouts are made under a lock.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace stillwatch::graph {

inline constexpr size_t kNodesMax = 50'000;  // accounts, values and templates; clusters come on top
inline constexpr size_t kLinksMax = 400'000;  // of an account and what it has
inline constexpr size_t kFan = 200;           // children of one cluster
inline constexpr size_t kDrawnMax = 5'000;    // elements of a view: nodes and links
inline constexpr size_t kDrawnNodes = 3'500;  // of them, so that links have room
inline constexpr size_t kShowAll = 800;       // up to so many nodes a view opens all by itself

enum class Kind : uint8_t { kCluster, kAccount, kValue, kTemplate };
const char* KindName(Kind k);  // "cluster"

struct Input {
  struct Account {
    std::string id, pool;  // pool: empty for none
    bool operator==(const Account&) const = default;
  };
  struct Value {  // kValue: a trait's; kTemplate
    Kind kind = Kind::kValue;
    std::string field, value;
    std::vector<uint32_t> holders;  // of `accounts`, ascending, at least one
  };
  std::vector<Account> accounts;
  std::vector<Value> values;
};

struct Node {
  Kind kind = Kind::kCluster;
  uint32_t parent = 0;               // the root's is itself
  uint32_t first = 0, children = 0;  // numbers of children follow each other
  uint32_t accounts = 0;             // below it; of a value: that have it
  uint32_t links = 0;                // of an account: its values; of a value: its accounts
  std::string id;                    // "a:acct-1", "v:client_ip:192.0.2.1", "t:tpl_1", "c:pool_1.3"
  std::string field, label;
};

struct Place {
  float x = 0, y = 0, r = 1;
};

struct View {
  struct Element {
    uint32_t node = 0;
    bool open = false;
    Place place;  // the campaign is the unit disc
  };
  struct Link {
    uint32_t a = 0, b = 0;  // numbers of elements
    uint32_t count = 0;     // links of the input that it stands for
  };
  std::vector<Element> elements;  // a cluster before what is in it
  std::vector<Link> links;        // heaviest first
  uint64_t links_cut = 0;         // for which there was no room
  std::vector<uint32_t> refused;  // clusters that were asked for and stay closed: no room
};

class Network {
 public:
  static std::unique_ptr<Network> Build(Input input);

  std::span<const Node> nodes() const { return nodes_; }  // 0: the campaign
  uint64_t accounts() const { return accounts_; }
  uint64_t values() const { return values_; }
  uint64_t links() const { return links_.size(); }
  // Accounts and values beyond the bounds: of the smallest pools, and the least shared.
  uint64_t left_out() const { return left_out_; }
  // By its id; -1: there is none.
  int64_t Find(std::string_view id) const;
  // Accounts of a value, values of an account; ascending.
  std::vector<uint32_t> Linked(uint32_t node) const;

  // `open`: clusters, in the order in which they were opened; one whose parent stays closed does
  // too. Links of `focus` are drawn before others; 0: none.
  View Draw(std::span<const uint32_t> open, uint32_t focus) const;
  // What a view opens when nobody said anything.
  std::vector<uint32_t> Opening() const;

  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

 private:
  struct Tree;
  struct Layouts;
  Network();
  const std::vector<Place>& PlacesIn(uint32_t cluster) const;  // of its children, in its unit disc

  std::vector<Node> nodes_;  // a parent before its children
  std::unordered_map<std::string_view, uint32_t> by_id_;
  std::vector<std::pair<uint32_t, uint32_t>>
      links_;                       // account, value; by the cluster that has both
  std::vector<uint64_t> links_of_;  // of each cluster: where its links begin
  uint64_t accounts_ = 0, values_ = 0, left_out_ = 0;
  std::unique_ptr<Layouts> layouts_;
};

}  // namespace stillwatch::graph
