// Recursive descent over the shell grammar.
#pragma once

#include <string>
#include <string_view>

#include "user/bin/sh/lexer.hpp"
#include "user/bin/sh/syntax.hpp"

namespace faultline::sh {

class Parser {
 public:
  enum class Outcome { Command, Empty, End, Error, Interrupted };

  // `depth` counts the constructs that enclose this text.
  Parser(Source& source, ParseFailure& failure, int depth = 0)
      : source_(source), failure_(failure), lexer_(source, failure, depth) {}

  // One complete command: what a line, and the lines it needs for its end, contains.
  Outcome parse_complete_command(List& list);
  // Everything up to the `)` that ends a command substitution; takes the `)`.
  void parse_until_parenthesis(List& list);
  // The whole source.
  void parse_all(List& list);

 private:
  enum class Newlines { Separate, End };

  const Token& token();
  void advance() { has_token_ = false; }
  void skip_newlines();
  bool at_word(std::string_view reserved);
  bool at_list_end();
  bool expect_word(std::string_view reserved);
  bool unexpected();

  bool parse_list(List& list, Newlines newlines);
  bool parse_body(std::unique_ptr<List>& list);
  bool parse_and_or(AndOr& item);
  bool parse_pipeline(Pipeline& pipeline);
  bool parse_command(Command& command);
  bool parse_compound(Command& command);
  bool parse_if(If& node);
  bool parse_loop(Loop& node);
  bool parse_for(For& node);
  bool parse_case(Case& node);
  bool parse_case_branch(Case::Branch& branch);
  bool parse_do_group(std::unique_ptr<List>& body);
  bool parse_simple(Command& command);
  bool parse_function(Command& command, std::string name);
  bool at_redirection();
  bool parse_redirection(std::vector<Redirection>& redirections);
  bool parse_redirections(std::vector<Redirection>& redirections);

  Source& source_;
  ParseFailure& failure_;
  Lexer lexer_;
  Token token_;
  bool has_token_ = false;
  size_t last_end_ = 0;  // where the last token that was used ends
};

}  // namespace faultline::sh
