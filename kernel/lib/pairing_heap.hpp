#pragma once
// Intrusive priority queue (pairing heap; Fredman, Sedgewick, Sleator, Tarjan 1986): the least element in
// constant time, insertion in constant time, removal of any element in O(log n) amortised. Allocates nothing.

#include <utility>

#include "kernel/lib/panic.hpp"

namespace faultline {

template <class T>
class PairingHeap;

/// Base of elements. T has `bool before(const T&) const`.
template <class T>
class PairingHeapNode {
 private:
  friend T;
  friend class PairingHeap<T>;
  PairingHeapNode() = default;

  T* child_ = nullptr;
  T* sibling_ = nullptr;
  T** link_ = nullptr;  // the pointer that points here: root_, a parent's child_ or a sibling's sibling_
};

template <class T>
class PairingHeap {
 public:
  PairingHeap() = default;
  PairingHeap(const PairingHeap&) = delete;
  PairingHeap& operator=(const PairingHeap&) = delete;
  ~PairingHeap() { ASSERT(root_ == nullptr); }

  bool empty() const { return root_ == nullptr; }
  /// The element that no other is before, or null.
  T* least() const { return root_; }
  bool contains(const T& element) const { return node(element).link_ != nullptr; }

  void insert(T& element) {
    ASSERT(node(element).link_ == nullptr);
    set_root(meld(root_, &element));
  }

  void remove(T& element) {
    Node& removed = node(element);
    ASSERT(removed.link_ != nullptr);
    T* const orphans = merge_siblings(removed.child_);
    removed.child_ = nullptr;
    *removed.link_ = removed.sibling_;
    if (removed.sibling_ != nullptr) node(*removed.sibling_).link_ = removed.link_;
    removed.sibling_ = nullptr;
    removed.link_ = nullptr;
    set_root(meld(root_, orphans));
  }

 private:
  using Node = PairingHeapNode<T>;
  static Node& node(T& element) { return element; }
  static const Node& node(const T& element) { return element; }

  void set_root(T* element) {
    root_ = element;
    if (root_ != nullptr) node(*root_).link_ = &root_;
  }

  /// Joins two heaps, whose roots have no siblings; the result's link is the caller's to set.
  static T* meld(T* a, T* b) {
    if (a == nullptr) return b;
    if (b == nullptr) return a;
    if (b->before(*a)) std::swap(a, b);
    Node& parent = node(*a);
    Node& child = node(*b);
    child.sibling_ = parent.child_;
    if (child.sibling_ != nullptr) node(*child.sibling_).link_ = &child.sibling_;
    parent.child_ = b;
    child.link_ = &parent.child_;
    return a;
  }

  /// Joins a list of siblings in two passes: pairs from the left, then all pairs from the right.
  static T* merge_siblings(T* first) {
    T* pairs = nullptr;
    while (first != nullptr) {
      T* const a = first;
      T* const b = std::exchange(node(*a).sibling_, nullptr);
      first = b == nullptr ? nullptr : std::exchange(node(*b).sibling_, nullptr);
      T* const pair = meld(a, b);
      node(*pair).sibling_ = pairs;
      pairs = pair;
    }
    T* joined = nullptr;
    while (pairs != nullptr) {
      T* const next = std::exchange(node(*pairs).sibling_, nullptr);
      joined = meld(joined, pairs);
      pairs = next;
    }
    return joined;
  }

  T* root_ = nullptr;
};

}  // namespace faultline
