--- A small window: text, progress bars, choices and buttons, by ReaImGui where it is installed and by gfx elsewhere.
--
-- A view is a table {lines = {{text, severity}}, bars = {{label, fraction}}, choices = {{id, label, options,
-- selected} or {id, label, checked}}, buttons = {{id, label}}}. It is drawn anew in each cycle of reaper.defer.

local window = {}

--- Open a window of the kind that this REAPER can show.
function window.open(title)
  if reaper.APIExists("ImGui_CreateContext") then return require("ugosa.window_imgui").open(title) end
  return require("ugosa.window_gfx").open(title)
end

--- Run `model` in a window until it is closed: model:view() says what to show, model:handle(event) answers the
-- user, model:poll() is called every `poll_s`; model.closed ends it, and then calls model:on_close(), if there is one.
function window.run(title, model, poll_s)
  local shown, next_poll_s = window.open(title), 0
  local function cycle()
    local now_s = reaper.time_precise()
    if now_s >= next_poll_s then
      next_poll_s = now_s + poll_s
      model:poll()
    end
    local event = shown:draw(model:view())
    if event and event.closed then
      model.closed = true
    elseif event then
      model:handle(event)
    end
    if model.closed then
      shown:close()
      if model.on_close then model:on_close() end
    else
      reaper.defer(cycle)
    end
  end
  cycle()
end

return window
