--- The window, drawn by REAPER's own gfx, for those who do not have ReaImGui.

local GfxWindow = {}
GfxWindow.__index = GfxWindow

local WIDTH, HEIGHT = 520, 360
local MARGIN, GAP, BUTTON_HEIGHT, BAR_HEIGHT = 12, 6, 26, 14
local COLOURS = {
  text = { 0.9, 0.9, 0.9 }, error = { 1, 0.45, 0.45 }, warning = { 0.95, 0.78, 0.3 }, info = { 0.65, 0.65, 0.65 },
  button = { 0.3, 0.3, 0.33 }, bar = { 0.34, 0.71, 0.91 }, background = { 0.16, 0.16, 0.17 },
}
local LEFT_BUTTON, KEY_ESCAPE, CLOSED = 1, 27, -1

--- Open a window.
function GfxWindow.open(title)
  gfx.init(title, WIDTH, HEIGHT)
  gfx.setfont(1, "Arial", 15)
  return setmetatable({ was_down = false }, GfxWindow)
end

local function set_colour(name)
  local colour = COLOURS[name] or COLOURS.text
  gfx.set(colour[1], colour[2], colour[3], 1)
end

-- Break a text into lines that fit; a word that is longer than a line, such as a path, is broken within.
local function wrap(text, width)
  local lines = {}
  for paragraph in (text .. "\n"):gmatch("(.-)\n") do
    local line = ""
    for word in paragraph:gmatch("%S+") do
      local longer = line == "" and word or line .. " " .. word
      if gfx.measurestr(longer) <= width then
        line = longer
      else
        if line ~= "" then lines[#lines + 1] = line end
        line = ""
        for _, code in utf8.codes(utf8.len(word) and word or word:gsub("[\128-\255]", "?")) do
          local letter = utf8.char(code)
          if line ~= "" and gfx.measurestr(line .. letter) > width then
            lines[#lines + 1] = line
            line = ""
          end
          line = line .. letter
        end
      end
    end
    lines[#lines + 1] = line
  end
  return lines
end

function GfxWindow:_draw_text(text, severity)
  set_colour(severity or "text")
  local line_height = gfx.texth + 2
  for _, line in ipairs(wrap(text, gfx.w - 2 * MARGIN)) do
    if self.y + 2 * line_height > self.text_bottom then
      if not self.is_cut then
        gfx.x, gfx.y = MARGIN, self.y
        gfx.drawstr("... (enlarge the window to read on)")
        self.is_cut, self.y = true, self.y + line_height
      end
      return
    end
    gfx.x, gfx.y = MARGIN, self.y
    gfx.drawstr(line)
    self.y = self.y + line_height
  end
end

-- Draw a box with a text and return whether it was clicked in this cycle, and its width.
function GfxWindow:_draw_box(text, x)
  local width = gfx.measurestr(text) + 2 * MARGIN
  set_colour("button")
  gfx.rect(x, self.y, width, BUTTON_HEIGHT, 1)
  set_colour("text")
  gfx.x, gfx.y = x + MARGIN, self.y + (BUTTON_HEIGHT - gfx.texth) // 2
  gfx.drawstr(text)
  local inside = gfx.mouse_x >= x and gfx.mouse_x < x + width and gfx.mouse_y >= self.y
    and gfx.mouse_y < self.y + BUTTON_HEIGHT
  return inside and self.clicked, width
end

function GfxWindow:_draw_bar(bar)
  set_colour("text")
  gfx.x, gfx.y = MARGIN, self.y
  gfx.drawstr(bar.label)
  self.y = self.y + gfx.texth + 2
  local width = gfx.w - 2 * MARGIN
  set_colour("button")
  gfx.rect(MARGIN, self.y, width, BAR_HEIGHT, 1)
  set_colour("bar")
  gfx.rect(MARGIN, self.y, math.floor(width * bar.fraction), BAR_HEIGHT, 1)
  self.y = self.y + BAR_HEIGHT + GAP
end

function GfxWindow:_draw_choice(choice)
  local state = choice.options and choice.options[choice.selected] or choice.checked and "yes" or "no"
  local clicked = self:_draw_box(("%s: %s"):format(choice.label, state), MARGIN)
  self.y = self.y + BUTTON_HEIGHT + GAP
  if not clicked then return nil end
  if not choice.options then return { choice = choice.id, selected = not choice.checked } end
  local entries = {}
  for index, option in ipairs(choice.options) do
    -- showmenu takes | between entries, and !, #, > and < at their start, as commands
    entries[index] = (index == choice.selected and "!" or "") .. option:gsub("|", "/"):gsub("^[!#<>]+", "")
  end
  gfx.x, gfx.y = gfx.mouse_x, gfx.mouse_y
  local picked = gfx.showmenu(table.concat(entries, "|"))
  return picked > 0 and { choice = choice.id, selected = picked } or nil
end

--- Draw a view and return what the user did: {button}, {choice, selected}, {closed}, or nil.
function GfxWindow:draw(view)
  local event
  local is_down = gfx.mouse_cap & LEFT_BUTTON ~= 0
  self.clicked, self.was_down = is_down and not self.was_down, is_down
  set_colour("background")
  gfx.rect(0, 0, gfx.w, gfx.h, 1)
  self.y, self.is_cut = MARGIN, false
  -- Text gives way to what can be clicked.
  self.text_bottom = gfx.h - MARGIN - GAP - BUTTON_HEIGHT - #(view.choices or {}) * (BUTTON_HEIGHT + GAP)
    - #(view.bars or {}) * (gfx.texth + 2 + BAR_HEIGHT + GAP)
  for _, line in ipairs(view.lines or {}) do self:_draw_text(line.text, line.severity) end
  self.y = self.y + GAP
  for _, bar in ipairs(view.bars or {}) do self:_draw_bar(bar) end
  for _, choice in ipairs(view.choices or {}) do event = self:_draw_choice(choice) or event end
  local x = MARGIN
  for _, button in ipairs(view.buttons or {}) do
    local clicked, width = self:_draw_box(button.label, x)
    if clicked then event = { button = button.id } end
    x = x + width + GAP
  end
  gfx.update()
  local key = gfx.getchar()
  if key == CLOSED or key == KEY_ESCAPE then event = { closed = true } end
  return event
end

--- Close it.
function GfxWindow.close() gfx.quit() end

return GfxWindow
