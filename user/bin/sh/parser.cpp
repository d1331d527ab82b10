#include "user/bin/sh/parser.hpp"

#include <utility>

namespace faultline::sh {
namespace {

constexpr std::string_view kClosers[] = {"then", "elif", "else", "fi", "do", "done", "esac", "}"};

}  // namespace

const Token& Parser::token() {
  if (!has_token_) {
    if (token_.end > last_end_) last_end_ = token_.end;
    token_ = lexer_.next();
    has_token_ = true;
  }
  return token_;
}

void Parser::skip_newlines() {
  while (token().kind == Token::Kind::Newline) advance();
}

bool Parser::at_word(std::string_view reserved) { return token().plain_text() == reserved; }

bool Parser::at_list_end() {
  if (token().kind == Token::Kind::End || token().is_operator(")") || token().is_operator(";;")) return true;
  for (std::string_view closer : kClosers) {
    if (at_word(closer)) return true;
  }
  return false;
}

// Notes the present token as the error; always false.
bool Parser::unexpected() {
  switch (token().kind) {
    case Token::Kind::End:
      lexer_.fail("syntax error: unexpected end of input");
      break;
    case Token::Kind::Newline:
      lexer_.fail("syntax error: unexpected end of line");
      break;
    default:
      lexer_.fail("syntax error near '" + std::string(source_.slice(token_.begin, token_.end)) + "'");
  }
  return false;
}

bool Parser::expect_word(std::string_view reserved) {
  if (!at_word(reserved)) return unexpected();
  advance();
  return true;
}

Parser::Outcome Parser::parse_complete_command(List& list) {
  source_.begin_command();
  token_ = {};
  last_end_ = 0;
  has_token_ = false;
  bool ok = parse_list(list, Newlines::End);
  if (ok && !failure_.failed && token().kind != Token::Kind::Newline && token().kind != Token::Kind::End)
    unexpected();
  if (failure_.interrupted) return Outcome::Interrupted;
  if (failure_.failed) {
    // The rest of the line is part of the mistake, unless the mistake is that the line ended.
    if (token_.kind != Token::Kind::Newline) source_.discard_line();
    return Outcome::Error;
  }
  if (!list.items.empty()) return Outcome::Command;
  return token().kind == Token::Kind::End ? Outcome::End : Outcome::Empty;
}

void Parser::parse_until_parenthesis(List& list) {
  if (parse_list(list, Newlines::Separate) && !token().is_operator(")")) unexpected();
}

void Parser::parse_all(List& list) {
  if (parse_list(list, Newlines::Separate) && token().kind != Token::Kind::End) unexpected();
}

bool Parser::parse_list(List& list, Newlines newlines) {
  for (;;) {
    if (newlines == Newlines::Separate) skip_newlines();
    if (token().kind == Token::Kind::Newline || at_list_end()) break;
    AndOr item;
    size_t begin = token().begin;
    if (!parse_and_or(item)) return false;
    bool separated = true;
    token();  // so that last_end_ is the end of the item
    item.source = source_.slice(begin, last_end_);
    if (token().is_operator("&")) {
      item.background = true;
      advance();
    } else if (token().is_operator(";")) {
      advance();
    } else {
      separated = token().kind == Token::Kind::Newline && newlines == Newlines::Separate;
    }
    list.items.push_back(std::move(item));
    if (!separated) break;
  }
  return !failure_.failed;
}

// A list inside a compound command, which may not be empty.
bool Parser::parse_body(std::unique_ptr<List>& list) {
  list = std::make_unique<List>();
  if (!parse_list(*list, Newlines::Separate)) return false;
  return list->items.empty() ? unexpected() : true;
}

bool Parser::parse_and_or(AndOr& item) {
  AndOr::Connector connector = AndOr::Connector::First;
  for (;;) {
    AndOr::Term term;
    term.connector = connector;
    if (!parse_pipeline(term.pipeline)) return false;
    item.terms.push_back(std::move(term));
    if (token().is_operator("&&")) {
      connector = AndOr::Connector::And;
    } else if (token().is_operator("||")) {
      connector = AndOr::Connector::Or;
    } else {
      return true;
    }
    advance();
    skip_newlines();
  }
}

bool Parser::parse_pipeline(Pipeline& pipeline) {
  while (at_word("!")) {
    pipeline.negated = !pipeline.negated;
    advance();
  }
  for (;;) {
    Command command;
    if (!parse_command(command)) return false;
    pipeline.commands.push_back(std::move(command));
    if (!token().is_operator("|")) return true;
    advance();
    skip_newlines();
  }
}

bool Parser::parse_command(Command& command) {
  if (!lexer_.enter()) return false;
  bool compound = token().is_operator("(");
  for (std::string_view opener : {"if", "while", "until", "for", "case", "{"})
    compound = compound || at_word(opener);
  bool ok;
  if (compound) {
    ok = parse_compound(command) && parse_redirections(command.redirections);
  } else {
    ok = at_list_end() ? unexpected() : parse_simple(command);
  }
  lexer_.leave();
  return ok;
}

bool Parser::parse_compound(Command& command) {
  if (token().is_operator("(")) {
    advance();
    auto& node = command.body.emplace<Subshell>();
    if (!parse_body(node.body)) return false;
    if (!token().is_operator(")")) return unexpected();
    advance();
    return true;
  }
  std::string opener(token().plain_text());
  if (opener == "if") return parse_if(command.body.emplace<If>());
  if (opener == "for") return parse_for(command.body.emplace<For>());
  if (opener == "case") return parse_case(command.body.emplace<Case>());
  if (opener == "while" || opener == "until") {
    auto& loop = command.body.emplace<Loop>();
    loop.until = opener == "until";
    return parse_loop(loop);
  }
  advance();
  auto& group = command.body.emplace<Group>();
  return parse_body(group.body) && expect_word("}");
}

bool Parser::parse_if(If& node) {
  do {
    advance();  // `if` or `elif`
    auto& branch = node.branches.emplace_back();
    if (!parse_body(branch.condition) || !expect_word("then") || !parse_body(branch.body)) return false;
  } while (at_word("elif"));
  if (at_word("else")) {
    advance();
    if (!parse_body(node.otherwise)) return false;
  }
  return expect_word("fi");
}

bool Parser::parse_do_group(std::unique_ptr<List>& body) {
  return expect_word("do") && parse_body(body) && expect_word("done");
}

bool Parser::parse_loop(Loop& node) {
  advance();
  return parse_body(node.condition) && parse_do_group(node.body);
}

bool Parser::parse_for(For& node) {
  advance();
  node.variable = token().plain_text();
  if (!is_name(node.variable)) return unexpected();
  advance();
  skip_newlines();
  if (!at_word("in")) {
    node.over_arguments = true;
    if (token().is_operator(";")) advance();
  } else {
    advance();
    while (token().kind == Token::Kind::Word) {
      node.words.push_back(std::move(token_.word));
      advance();
    }
    if (!token().is_operator(";") && token().kind != Token::Kind::Newline) return unexpected();
    advance();
  }
  skip_newlines();
  return parse_do_group(node.body);
}

bool Parser::parse_case(Case& node) {
  advance();
  if (token().kind != Token::Kind::Word) return unexpected();
  node.subject = std::move(token_.word);
  advance();
  skip_newlines();
  if (!expect_word("in")) return false;
  skip_newlines();
  while (!at_word("esac")) {
    if (!parse_case_branch(node.branches.emplace_back())) return false;
    if (!token().is_operator(";;")) break;
    advance();
    skip_newlines();
  }
  return expect_word("esac");
}

bool Parser::parse_case_branch(Case::Branch& branch) {
  if (token().is_operator("(")) advance();
  for (;;) {
    if (token().kind != Token::Kind::Word) return unexpected();
    branch.patterns.push_back(std::move(token_.word));
    advance();
    if (!token().is_operator("|")) break;
    advance();
  }
  if (!token().is_operator(")")) return unexpected();
  advance();
  branch.body = std::make_unique<List>();
  return parse_list(*branch.body, Newlines::Separate);
}

}  // namespace faultline::sh
