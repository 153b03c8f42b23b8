--- The window, drawn by the ReaImGui extension.

local ImGuiWindow = {}
ImGuiWindow.__index = ImGuiWindow

local COLOURS = { error = 0xFF6B6BFF, warning = 0xF0C040FF, info = 0xA0A0A0FF }

--- Open a window.
function ImGuiWindow.open(title)
  return setmetatable({ title = title, context = reaper.ImGui_CreateContext(title) }, ImGuiWindow)
end

local function draw_line(context, line)
  local colour = COLOURS[line.severity]
  if colour then reaper.ImGui_PushStyleColor(context, reaper.ImGui_Col_Text(), colour) end
  reaper.ImGui_TextWrapped(context, line.text)
  if colour then reaper.ImGui_PopStyleColor(context) end
end

local function draw_choice(context, choice)
  if choice.checked ~= nil then
    local is_changed, checked = reaper.ImGui_Checkbox(context, choice.label, choice.checked)
    return is_changed and { choice = choice.id, selected = checked } or nil
  end
  local event
  if reaper.ImGui_BeginCombo(context, choice.label, choice.options[choice.selected]) then
    for index, option in ipairs(choice.options) do
      if reaper.ImGui_Selectable(context, option, index == choice.selected) then
        event = { choice = choice.id, selected = index }
      end
    end
    reaper.ImGui_EndCombo(context)
  end
  return event
end

--- Draw a view and return what the user did: {button}, {choice, selected}, {closed}, or nil.
function ImGuiWindow:draw(view)
  local context, event = self.context, nil
  reaper.ImGui_SetNextWindowSize(context, 520, 360, reaper.ImGui_Cond_FirstUseEver())
  local is_visible, is_open = reaper.ImGui_Begin(context, self.title, true)
  if is_visible then
    for _, line in ipairs(view.lines or {}) do draw_line(context, line) end
    for _, bar in ipairs(view.bars or {}) do
      reaper.ImGui_TextWrapped(context, bar.label)
      reaper.ImGui_ProgressBar(context, bar.fraction, -1, 0, ("%d %%"):format(math.floor(bar.fraction * 100)))
    end
    for _, choice in ipairs(view.choices or {}) do event = draw_choice(context, choice) or event end
    for index, button in ipairs(view.buttons or {}) do
      if index > 1 then reaper.ImGui_SameLine(context) end
      if reaper.ImGui_Button(context, button.label) then event = { button = button.id } end
    end
    reaper.ImGui_End(context) -- ReaImGui wants End only after a Begin that says visible
  end
  if not is_open then event = { closed = true } end
  return event
end

--- Close it. ReaImGui frees a context that is no longer drawn.
function ImGuiWindow:close() self.context = nil end

return ImGuiWindow
