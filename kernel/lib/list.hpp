#pragma once
// Intrusive doubly linked list: the links stand in the element, so insertion and removal cannot fail.

#include <cstddef>
#include <iterator>

#include "kernel/lib/panic.hpp"

namespace faultline {

/// Base of list elements. `Tag` tells apart the links of an element that stands in several lists at once.
template <class Tag = void>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { ASSERT(!linked()); }

  bool linked() const { return next_ != nullptr; }

  /// Takes the element out of the list it stands in.
  void unlink() {
    ASSERT(linked());
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class T, class U>
  friend class List;
  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

/// List of T, where T derives from ListNode<Tag>. Does not own its elements; must be empty when it dies.
template <class T, class Tag = void>
class List {
  using Node = ListNode<Tag>;

 public:
  List() { head_.next_ = head_.previous_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() {
    ASSERT(empty());
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T& front() const {
    ASSERT(!empty());
    return static_cast<T&>(*head_.next_);
  }
  T& back() const {
    ASSERT(!empty());
    return static_cast<T&>(*head_.previous_);
  }

  void push_back(T& element) { insert_between(*head_.previous_, head_, element); }
  void push_front(T& element) { insert_between(head_, *head_.next_, element); }

  /// Removes and returns the first element, or null when the list is empty.
  T* pop_front() {
    if (empty()) return nullptr;
    T& element = front();
    static_cast<Node&>(element).unlink();
    return &element;
  }

  class Iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    explicit Iterator(Node* node) : node_(node) {}
    T& operator*() const { return static_cast<T&>(*node_); }
    T* operator->() const { return static_cast<T*>(node_); }
    Iterator& operator++() {
      node_ = next(node_);
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator&) const = default;

   private:
    Node* node_ = nullptr;
  };
  Iterator begin() const { return Iterator(head_.next_); }
  Iterator end() const { return Iterator(const_cast<Node*>(&head_)); }

 private:
  static Node* next(Node* node) { return node->next_; }
  static void insert_between(Node& before, Node& after, T& element) {
    Node& node = element;
    ASSERT(!node.linked());
    node.previous_ = &before;
    node.next_ = &after;
    before.next_ = &node;
    after.previous_ = &node;
  }
  Node head_;
};

}  // namespace faultline
