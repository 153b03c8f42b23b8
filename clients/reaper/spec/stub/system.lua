--- The system around scripts: files, processes, time, dialogues, settings, and the cycle of deferred functions.

local strict = require("spec.stub.strict")

local CYCLE_S = 1 / 30 -- how often REAPER calls deferred functions

local function shell_quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Words of a command line as Windows' CreateProcess and REAPER's other ports read them: blanks part words, double
-- quotes hold them together.
local function words_of(command_line)
  local words, position = {}, 1
  while true do
    position = command_line:match("^%s*()", position)
    if position > #command_line then return words end
    local quoted, stop = command_line:match('^"([^"]*)"()', position)
    local plain, plain_stop = command_line:match("^([^%s\"]+)()", position)
    assert(quoted or plain, "an unbalanced quote in " .. command_line)
    words[#words + 1] = quoted or plain
    position = stop or plain_stop
  end
end

return function(reaper, state)
  reaper.APIExists = function(name) return rawget(reaper, name) ~= nil end
  reaper.GetOS = function() return state.os end
  reaper.GetResourcePath = function() return state.resource_folder end
  reaper.time_precise = function() return state.now_s end

  reaper.file_exists = function(path)
    local file = io.open(strict.value(path, "string"), "rb")
    if not file then return false end
    local is_file = file:read(0) ~= nil or file:seek("end") == 0 -- a directory opens, but cannot be read
    file:close()
    return is_file
  end
  reaper.RecursiveCreateDirectory = function(path)
    return os.execute("mkdir -p " .. shell_quoted(path) .. " 2>/dev/null") and 1 or 0
  end

  reaper.ExecProcess = function(command_line, timeout_ms)
    if timeout_ms ~= -1 and timeout_ms ~= -2 then
      error(("ExecProcess with %s waits, and REAPER stands still"):format(timeout_ms), 2)
    end
    local words = words_of(command_line)
    table.insert(state.started, words)
    if state.on_exec then return state.on_exec(words) end
    if not words[1]:match("^/") then return nil end -- PATH is not searched
    if not reaper.file_exists(words[1]) then return nil end
    for index, word in ipairs(words) do words[index] = shell_quoted(word) end
    os.execute(table.concat(words, " ") .. " >>" .. shell_quoted(state.helper_log) .. " 2>&1 &")
    return "0\n"
  end

  -- Settings
  reaper.GetExtState = function(section, key) return state.ext[section .. "\0" .. key] or "" end
  reaper.SetExtState = function(section, key, value, persist)
    strict.value(persist, "boolean")
    state.ext[section .. "\0" .. key] = strict.value(value, "string")
  end
  reaper.DeleteExtState = function(section, key) state.ext[section .. "\0" .. key] = nil end

  -- Dialogues: what was said is kept, answers come from the test
  reaper.MB = function(text, title, kind)
    table.insert(state.messages, { text = text, title = title })
    return kind == 0 and 1 or table.remove(state.answers, 1) or error("nobody answers: " .. text, 2)
  end
  reaper.GetUserInputs = function(_, n_fields)
    if n_fields ~= 1 then error("the stub has dialogues of one field", 2) end
    local answer = table.remove(state.answers, 1)
    return answer ~= nil, answer or ""
  end
  reaper.GetUserFileNameForRead = function()
    local answer = table.remove(state.answers, 1)
    return answer ~= nil, answer or ""
  end

  reaper.Main_OnCommand = function(command)
    if command ~= 42230 then error(("the stub has no action %d"):format(command), 2) end
    if not state.on_render then error("nothing renders in this test", 2) end
    state.on_render()
  end

  -- The transport
  reaper.GetPlayState = function() return state.plays_from_s and 1 or 0 end
  reaper.SetEditCurPos = function(time_s, moves_view, seeks_play)
    state.cursor_s = strict.value(time_s, "number")
    strict.value(moves_view, "boolean")
    strict.value(seeks_play, "boolean")
  end
  reaper.OnPlayButton = function() state.plays_from_s = state.cursor_s or 0 end

  -- Deferred functions
  local queue = {}
  reaper.defer = function(callback)
    queue[#queue + 1] = strict.value(callback, "function")
  end

  --- Call deferred functions until none is left, or until `until_true` says so; `user` acts before each cycle.
  state.run = function(user, until_true, limit_s)
    local end_s = state.now_s + (limit_s or 120)
    while #queue > 0 do
      if until_true and until_true() then return end
      if state.now_s > end_s then error("this goes on for too long; on screen:\n" .. state.screen_text(), 2) end
      if user then user() end
      local due = queue
      queue = {}
      for _, callback in ipairs(due) do callback() end
      state.now_s = state.now_s + CYCLE_S
      if state.is_real_time then os.execute("sleep " .. CYCLE_S) end
    end
  end

  --- Forget all deferred functions, as when REAPER ends.
  state.quit = function() queue = {} end
end
