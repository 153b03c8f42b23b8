--- What scripts draw, by gfx or by ReaImGui, and a user who reads it and clicks.

local strict = require("spec.stub.strict")

local LETTER_WIDTH, LETTER_HEIGHT = 8, 15

return function(reaper, state)
  local gfx = strict.table("gfx")
  local drawn, last, pressed = {}, {}, nil -- boxes of this frame and of the last whole one
  local released = false -- the button came up in the last frame; it is seen to be up in the next one
  for _, name in ipairs({ "w", "h", "x", "y", "mouse_x", "mouse_y", "mouse_cap" }) do gfx[name] = 0 end
  gfx.texth = LETTER_HEIGHT
  gfx.init = function(_, width, height)
    gfx.w, gfx.h = width, height
    state.window_is_open = true
  end
  gfx.setfont = function() end
  gfx.set = function() end
  gfx.rect = function(_, _, width, height)
    strict.value(width, "number")
    strict.value(height, "number")
  end
  gfx.measurestr = function(text) return LETTER_WIDTH * (utf8.len(text) or error("not UTF-8", 2)) end
  gfx.drawstr = function(text)
    strict.value(text, "string")
    local is_in_sight = gfx.y + LETTER_HEIGHT <= gfx.h
    if is_in_sight then drawn[#drawn + 1] = { text = text, x = gfx.x, y = gfx.y } end
  end
  gfx.update = function()
    last, drawn = drawn, {}
    released = pressed ~= nil
    if pressed then pressed, gfx.mouse_cap = nil, 0 end
  end
  gfx.getchar = function() return state.user_closes and -1 or 0 end
  gfx.quit = function() state.window_is_open = false end
  gfx.showmenu = function(text)
    local entries = {}
    for entry in (text .. "|"):gmatch("([^|]*)|") do entries[#entries + 1] = entry:gsub("^!", "") end
    for index, entry in ipairs(entries) do
      if entry == state.picks then return index end
    end
    return 0
  end

  --- Everything that the last frame showed, line by line.
  state.screen_text = function()
    local lines = {}
    for _, box in ipairs(last) do lines[#lines + 1] = box.text end
    return table.concat(lines, "\n")
  end

  --- Click on a box whose text starts like this; false when none is on screen.
  state.click = function(label)
    if released then
      released = false
      return false
    end
    for _, box in ipairs(last) do
      if box.text:sub(1, #label) == label then
        pressed = label
        gfx.mouse_x, gfx.mouse_y, gfx.mouse_cap = box.x + 1, box.y + 1, 1
        return true
      end
    end
    return false
  end

  --- Install the ReaImGui extension.
  state.add_imgui = function()
    local frame
    local function context_of(context) return strict.handle(context, "ImGui_Context") end
    local function draw(text) frame[#frame + 1] = { text = text, x = 0, y = 0 } end
    reaper.ImGui_CreateContext = function() return { kind = "ImGui_Context" } end
    reaper.ImGui_Cond_FirstUseEver = function() return 4 end
    reaper.ImGui_Col_Text = function() return 0 end
    reaper.ImGui_SetNextWindowSize = function(context) context_of(context) end
    reaper.ImGui_Begin = function(context)
      context_of(context)
      if frame then error("ImGui_Begin twice without ImGui_End", 2) end
      frame, state.window_is_open = {}, true
      return true, not state.user_closes
    end
    reaper.ImGui_End = function(context)
      context_of(context)
      last, frame, pressed = frame, nil, nil
    end
    reaper.ImGui_PushStyleColor = function(context, _, colour)
      strict.value(context_of(context) and colour, "number")
    end
    reaper.ImGui_PopStyleColor = context_of
    reaper.ImGui_SameLine = context_of
    reaper.ImGui_TextWrapped = function(context, text) draw(strict.value(context_of(context) and text, "string")) end
    reaper.ImGui_ProgressBar = function(context, fraction, _, _, text)
      strict.value(context_of(context) and fraction, "number")
      draw(text)
    end
    reaper.ImGui_Button = function(context, label)
      draw(strict.value(context_of(context) and label, "string"))
      return pressed == label
    end
    reaper.ImGui_Checkbox = function(context, label, checked)
      draw(strict.value(context_of(context) and label, "string"))
      return pressed == label, strict.value(checked, "boolean") ~= (pressed == label)
    end
    reaper.ImGui_BeginCombo = function(context, label, preview)
      draw(("%s: %s"):format(label, strict.value(context_of(context) and preview, "string")))
      return pressed ~= nil and label:sub(1, #pressed) == pressed
    end
    reaper.ImGui_Selectable = function(context, label) return context_of(context) ~= nil and label == state.picks end
    reaper.ImGui_EndCombo = context_of
  end

  return gfx
end
